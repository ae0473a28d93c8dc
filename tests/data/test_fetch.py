"""Downloads: checked, atomic, never hanging, clear when offline."""

import hashlib
import http.server
import threading
import time
from pathlib import Path

import pytest
from calibench import fetch as stage
from calibench.data.downloads import DOWNLOADS
from calibench.errors import UserError

CONTENT = b"pixels" * 1000
SHA = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/stall":
            time.sleep(3)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:100] if self.path == "/cut" else CONTENT)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.mark.parametrize(
    "checksum", [SHA, SHA.removeprefix("sha256:"), "md5:" + hashlib.md5(CONTENT).hexdigest()]
)
def test_fetched_once(address, tmp_path, checksum):
    out = tmp_path / "deep" / "file.npz"
    stage.main(["--url", f"{address}/file", "--checksum", checksum, "--out", str(out)])
    assert out.read_bytes() == CONTENT
    stage.main(["--url", "http://192.0.2.1/never-asked", "--checksum", checksum, "--out", str(out)])


@pytest.mark.parametrize(
    ("path", "checksum", "message"),
    [
        ("/file", "sha256:" + "0" * 64, "expected 0000.*not kept"),
        ("/missing", SHA, "answers 404"),
        ("/cut", SHA, "cannot download .* put it at"),
        ("/stall", SHA, "cannot download"),
        ("/file", "sha256:12", "must be sha256"),
    ],
)
def test_refused_and_nothing_left(address, tmp_path, path, checksum, message):
    out = tmp_path / "file.npz"
    begun = time.monotonic()
    with pytest.raises(UserError, match=message):
        stage.fetch(address + path, out, checksum, timeout=1)
    assert time.monotonic() - begun < 3
    assert not list(tmp_path.iterdir())


def test_offline(tmp_path):
    with pytest.raises(UserError, match="cannot download .*without a network"):
        stage.fetch("http://127.0.0.1:9/x", tmp_path / "x", SHA, timeout=1)


def test_only_the_web(tmp_path):
    with pytest.raises(UserError, match="no http or https"):
        stage.fetch("file:///etc/passwd", tmp_path / "x", SHA)
    with pytest.raises(UserError, match="needs --checksum"):
        stage.main(["--url", "http://127.0.0.1/x", "--out", str(tmp_path / "x")])


def test_known_data_sets_are_well_formed():
    for files in DOWNLOADS.values():
        for url, name, checksum in files:
            assert url.startswith("http")
            assert name in url
            assert not stage.matches(Path(__file__), checksum)
