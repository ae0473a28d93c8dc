"""Downloads: checked, atomic, never hanging, clear when offline."""

import hashlib
import http.server
import socket
import struct
import threading
import time
from pathlib import Path

import pytest
from calibench.backbones import imagenet
from calibench.data import download
from calibench.data.public import DOWNLOADS
from calibench.errors import UserError
from calibench.stages import fetch as fetch_stage

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
    fetch_stage.main(["--url", f"{address}/file", "--checksum", checksum, "--out", str(out)])
    assert out.read_bytes() == CONTENT
    fetch_stage.main(["--url", "http://192.0.2.1/never-asked", "--checksum", checksum, "--out", str(out)])


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
        download.fetch(address + path, out, checksum, timeout=1)
    assert time.monotonic() - begun < 3
    assert not list(tmp_path.iterdir())


def test_offline(tmp_path):
    with pytest.raises(UserError, match="cannot download .*without a network"):
        download.fetch("http://127.0.0.1:9/x", tmp_path / "x", SHA, timeout=1)


def test_only_the_web(tmp_path):
    with pytest.raises(UserError, match="not an http or https"):
        download.fetch("file:///etc/passwd", tmp_path / "x", SHA)
    with pytest.raises(UserError, match="needs --checksum"):
        fetch_stage.main(["--url", "http://127.0.0.1/x", "--out", str(tmp_path / "x")])


def test_known_data_sets_are_well_formed():
    for files in DOWNLOADS.values():
        for url, name, checksum in files:
            assert url.startswith("http")
            assert name in url
            assert not download.matches(Path(__file__), checksum)


HEAD = b"HTTP/1.1 200 OK\r\n"
# What a server sends before it resets or closes the connection.
BROKEN = {
    "reset": (HEAD + b"Content-Length: 6000\r\n\r\n" + b"x" * 600, True),
    "cut": (HEAD + b"Content-Length: 6000\r\n\r\n" + b"x" * 600, False),
    "cut-chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1000\r\nxxx", False),
    "no-http": (b"\x00\xffnothing of the web\r\n\r\n", False),
    "hung-up": (b"", False),
    "no-number": (HEAD + b"Content-Length: many\r\n\r\nx", False),
}


@pytest.fixture
def broken(request):
    """Address of a server that breaks every connection in this way."""
    answer, reset = BROKEN[request.param]
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection = server.accept()[0]
            except OSError:
                return
            connection.recv(4096)
            connection.sendall(answer)
            time.sleep(0.2)
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/net-01234567.pth"
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def said_of_the_network(error, url):
    said = str(error.value)
    assert url in said and "the network failed" in said and "by hand" in said.replace("elsewhere", "by hand")
    assert "free space" not in said and "\n" not in said
    return said


@pytest.mark.parametrize("broken", BROKEN, indirect=True)
def test_broken_transfer(broken, tmp_path):
    with pytest.raises(UserError) as error:
        download.fetch(broken, tmp_path / "x", SHA, timeout=5)
    said_of_the_network(error, broken)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("broken", BROKEN, indirect=True)
def test_broken_transfer_of_weights(broken, tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet, "imagenet_url", lambda _: broken)
    with pytest.raises(UserError) as error:
        imagenet.fetch("resnet18", tmp_path / "net.pth")
    said = said_of_the_network(error, broken)
    assert "snakemake weights" in said and str(tmp_path / "net.pth") in said
    assert not list(tmp_path.iterdir())


def test_tls_with_a_server_that_has_none(address, tmp_path):
    url = address.replace("http:", "https:") + "/file"
    with pytest.raises(UserError) as error:
        download.fetch(url, tmp_path / "x", SHA, timeout=5)
    said_of_the_network(error, url)


def test_weights_are_checked(address, tmp_path, monkeypatch):
    right = hashlib.sha256(CONTENT).hexdigest()[:8]
    monkeypatch.setattr(imagenet, "imagenet_url", lambda _: f"{address}/net-{right}.pth")
    imagenet.fetch("resnet18", tmp_path / "net.pth")
    assert (tmp_path / "net.pth").read_bytes() == CONTENT
    monkeypatch.setattr(imagenet, "imagenet_url", lambda _: f"{address}/net-00000000.pth")
    with pytest.raises(UserError, match="checksum is wrong"):
        imagenet.fetch("resnet18", tmp_path / "other.pth")
    assert not (tmp_path / "other.pth").exists()
