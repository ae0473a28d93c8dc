"""Full and read-only disks, interrupted stages: one sentence, no half-written file, and the same command goes on."""

import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from calibench.errors import UserError
from calibench.stages import list as list_stage
from calibench.stages import store as store_stage

from tests.conftest import clean_environment
from tests.robustness.conftest import one_sentence, run_stage
from tests.training.conftest import WORKFLOW, contents, make_settings, train, train_arguments, write_store

SETTINGS = make_settings("ols", "mobilenet_v2", train={"epochs": 2, "checkpoint_minutes": 1e-9})


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    counts = {"train": 40, "select": 12, "calibrate": 9, "test": 15}
    return write_store(tmp_path_factory.mktemp("data") / "store", counts)


@pytest.fixture(scope="module")
def undisturbed(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    train(SETTINGS, store, folder)
    return contents(folder)


def run_training(store, run_dir, **options):
    return run_stage("train", *train_arguments(SETTINGS, store, run_dir), **options)


def half_written(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.name.endswith(".part")]


def test_disk_full_while_storing(dataset, small_disk):
    dataset.write_lists()
    dataset.sample()
    disk = small_disk("200k")
    arguments = [
        a.replace(str(dataset.folder / "images.npy"), str(disk / "images.npy"))
        for a in dataset.arguments(size=256)
    ]
    with pytest.raises(
        UserError, match=f"cannot write {disk}/images.npy: No space left on device; free space"
    ):
        store_stage.main(arguments)
    assert not list(disk.iterdir())


def limit_files(size):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def test_quota_reached_while_storing(dataset):
    """As a full disk, for those who cannot mount one: files may not grow beyond 100 kB."""
    dataset.write_lists()
    dataset.sample()
    said = one_sentence(run_stage("store", *dataset.arguments(size=256), preexec_fn=limit_files(100_000)))
    assert "images.npy: File too large; free space" in said
    assert dataset.left_nothing()


@pytest.mark.slow
def test_quota_reached_while_checkpointing(store, tmp_path):
    said = one_sentence(run_training(store, tmp_path, preexec_fn=limit_files(1_000_000)))
    assert "cannot write" in said and "checkpoint" in said and "free space" in said
    assert not half_written(tmp_path) and not list(tmp_path.rglob("state.pt"))


@pytest.mark.parametrize(
    "room", ["14m", "36m", "56m"], ids=["first-checkpoint", "later-checkpoint", "outputs"]
)
def test_disk_full_while_training(store, undisturbed, small_disk, room):
    """Whatever could not be written, after making room the same command ends with the weights of a quiet run."""
    disk = small_disk(room)
    with pytest.raises(UserError, match=f"cannot write {disk}.*free space"):
        train(SETTINGS, store, disk)
    assert not half_written(disk) and not (disk / "run.json").exists()
    small_disk("300m")
    train(SETTINGS, store, disk)
    assert contents(disk) == undisturbed


def test_read_only_results(store, dataset, small_disk):
    disk = small_disk("1m")
    small_disk("1m", "ro")
    with pytest.raises(UserError, match=f"{disk}.*Read-only file system; free space or fix the permissions"):
        train(SETTINGS, store, disk / "run")
    dataset.write_lists()
    out = ["--out-list", str(disk / "list.csv"), "--out-classes", str(disk / "classes.csv")]
    with pytest.raises(UserError, match=f"cannot write {disk}/list.csv: Read-only file system"):
        list_stage.main(["--settings", json.dumps(dataset.settings), *out])


@pytest.mark.skipif(
    os.geteuid() == 0, reason="root may write everywhere; the read-only file system is tested instead"
)
def test_forbidden_results(store, tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert "Permission denied" in one_sentence(run_training(store, tmp_path / "run"))


def test_killed_store_leaves_no_final_name_and_runs_again(dataset):
    """kill -9 in the middle; started again, it takes over nothing half-done."""
    for i in range(300):
        shutil.copy(dataset.root / "train0.png", dataset.add(f"more{i}.png"))
    dataset.write_lists()
    dataset.sample()
    command = [sys.executable, "-m", "calibench", "store", *dataset.arguments(size=2048)]
    environment = clean_environment() | {"PYTHONPATH": str(WORKFLOW)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    end = time.monotonic() + 60
    while not any(p.stat().st_size > 10_000_000 for p in dataset.folder.glob(".images.npy.*")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not any((dataset.folder / n).exists() for n in ("images.npy", "index.csv", "store.json"))
    assert len(list(dataset.folder.glob(".images.npy.*.part"))) == 1
    images, unreadable = dataset.build()
    assert len(images) == 318 and not unreadable
    assert not half_written(dataset.folder), "what the killed one left is cleared away"
