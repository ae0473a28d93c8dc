"""The store's copy on the node's disk: made once, whole or not at all, and never in the way of a run."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from calibench.data import staging
from calibench.planning.configuration import complete, merge
from calibench.planning.naming import data_settings, store_name
from calibench.planning.settings import settings_of

from tests.conftest import clean_environment
from tests.training.conftest import WORKFLOW, contents, make_settings, train, write_store
from tests.workflow.conftest import MINI

COPY = "import sys, pathlib; from calibench import cli; from calibench.data import staging; cli.run(lambda _: print(staging.stage(pathlib.Path(sys.argv[1]))))"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    counts = {"train": 40, "select": 12, "calibrate": 9, "test": 15}
    return write_store(tmp_path_factory.mktemp("shared") / "store", counts)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    np.save(folder / "images.npy", np.arange(64, dtype=np.uint8).reshape(4, 4, 4))
    return folder / "images.npy"


@pytest.fixture
def node(tmp_path, monkeypatch):
    """The node's temporary folder."""
    (tmp_path / "node").mkdir()
    monkeypatch.delenv("SLURM_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "node"))
    return tmp_path / "node"


def test_a_run_from_the_copy_is_the_same_run(store, node, tmp_path, caplog):
    settings = make_settings("hard", train={"epochs": 1})
    train(settings, store, tmp_path / "shared")
    first = train(settings, store, tmp_path / "first", "--stage-store")
    second = train(settings, store, tmp_path / "second", "--stage-store", "1")
    assert f"copied from {store / 'images.npy'}" in first and "copied by an earlier run" in second
    assert contents(tmp_path / "first") == contents(tmp_path / "second") == contents(tmp_path / "shared")
    (copy,) = node.rglob("*.npy")
    assert copy.read_bytes() == (store / "images.npy").read_bytes()


def test_slurms_folder_comes_first(images, node, tmp_path, monkeypatch):
    (tmp_path / "job").mkdir()
    monkeypatch.setenv("SLURM_TMPDIR", str(tmp_path / "job"))
    assert staging.stage(images).is_relative_to(tmp_path / "job")


def test_many_runs_at_once_copy_once(images, node):
    environment = clean_environment() | {"PYTHONPATH": str(WORKFLOW), "TMPDIR": str(node)}

    def one(_):
        command = [sys.executable, "-c", COPY, str(images)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(one, range(4)))
    assert len({d.stdout for d in done}) == 1
    assert sum("copied from" in d.stderr for d in done) == 1
    assert sum("by an earlier run" in d.stderr for d in done) == 3


def test_a_store_built_anew_is_copied_anew_and_the_old_copy_goes(images, node):
    old = staging.stage(images)
    np.save(images, np.zeros((4, 4, 4), np.uint8))
    new = staging.stage(images)
    assert new != old and not old.exists() and not np.load(new).any()


def test_two_stores_do_not_meet(images, node, tmp_path):
    (tmp_path / "other").mkdir()
    np.save(tmp_path / "other/images.npy", np.zeros((4, 4, 4), np.uint8))
    one, other = staging.stage(images), staging.stage(tmp_path / "other/images.npy")
    assert one != other and one.exists() and np.load(one).any() and not np.load(other).any()


def test_what_a_killed_copy_left_is_removed(images, node):
    copy = staging.stage(images)
    copy.unlink()
    (copy.parent / f".{copy.name}.123.part").write_bytes(b"half")
    assert staging.stage(images) == copy
    assert not list(copy.parent.glob(".*.part"))


def no_room(node, monkeypatch):
    monkeypatch.setattr(staging, "SPARE", 1e15)  # more than any disk has


def no_variable(node, monkeypatch):
    monkeypatch.delenv("TMPDIR")


def no_folder(node, monkeypatch):
    node.rmdir()


def others_can_write(node, monkeypatch):
    folder = node / f"calibench-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)


def a_link(node, monkeypatch):
    (node / "theirs").mkdir()
    (node / f"calibench-{os.getuid()}").symlink_to(node / "theirs")


def a_disk_that_fills(node, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(staging.shutil, "copyfile", full)


@pytest.mark.parametrize(
    ("obstacle", "why"),
    [
        (no_room, "MB of free space, the images need"),
        (no_variable, "neither SLURM_TMPDIR nor TMPDIR is set"),
        (no_folder, "No such file or directory"),
        (others_can_write, "not a folder that only you can write to"),
        (a_link, "not a folder that only you can write to"),
        (a_disk_that_fills, "No space left on device"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_stands_in_the_way_is_one_line_and_the_shared_file(
    images, node, monkeypatch, caplog, obstacle, why
):
    obstacle(node, monkeypatch)
    assert staging.stage(images) == images
    (record,) = caplog.records
    assert why in record.message and "\n" not in record.message
    assert not list(node.rglob("*.npy")) and not list(node.rglob("*.part"))


def test_the_key_decides_nothing_but_where_images_are_read():
    def full(tmpdir):
        store = MINI["datasets"]["digits"]["store"] | {"tmpdir": tmpdir}
        return complete(merge(MINI, {"datasets": {"digits": {"store": store}}}))

    shared, local = full(False), full(True)
    assert store_name(shared, "digits") == store_name(local, "digits")
    assert data_settings(shared, "digits") == data_settings(local, "digits")
    assert "tmpdir" not in str(settings_of(local, "ols", "digits", "resnet18", 0))
