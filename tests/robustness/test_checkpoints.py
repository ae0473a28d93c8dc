"""Damaged and hostile checkpoints, weights and settings files: nothing is unpickled, nothing is written over."""

import errno
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest
import torch
from calibench import files
from calibench.backbones.classifier import build
from calibench.backbones.pretrained import load_pretrained
from calibench.errors import UserError
from calibench.planning import configuration
from calibench.training.checkpoint import CheckpointFolder
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.training.conftest import forked, make_settings, train, write_store

SETTINGS = make_settings("ols", "mobilenet_v2", train={"epochs": 2, "checkpoint_minutes": 1e-9})
FULL = {"input": "full", "dropout": None, "batch_norm_momentum": None, "zero_init_residual": False}


class Bomb:
    """What would run if anything were unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (os.system, (f"touch {self.mark}",))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    counts = {"train": 40, "select": 12, "calibrate": 9, "test": 15}
    return write_store(tmp_path_factory.mktemp("data") / "store", counts)


@pytest.fixture(scope="module")
def killed(store, tmp_path_factory):
    """Folder of a run that was killed after its first checkpoint."""
    folder = tmp_path_factory.mktemp("killed")
    process = forked(SETTINGS, store, folder)
    while not (folder / "checkpoint/state.pt").exists() and process.is_alive():
        time.sleep(0.01)
    process.kill()
    process.join()
    return folder


@pytest.fixture(scope="module")
def whole():
    """Bytes of a checkpoint as the trainer writes them."""
    with tempfile.TemporaryDirectory() as name:
        folder = CheckpointFolder(Path(name), SETTINGS)
        folder.save(
            {"model": {"weight": torch.ones(3, 3)}, "progress": {"epoch": 2, "best": {}}, "history": []}
        )
        return folder.state_file.read_bytes()


@pytest.mark.parametrize(
    "damage", ["pickle-bomb", "cut-in-half", "zero-bytes", "not-a-checkpoint", "other-model"]
)
def test_resuming_from_a_bad_checkpoint(store, killed, tmp_path, damage):
    """The training stage stops with the file's name and what to delete; the file stays as it is."""
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    state = tmp_path / "checkpoint/state.pt"
    data = state.read_bytes()
    if damage == "pickle-bomb":
        torch.save({"settings": "x", "model": Bomb(tmp_path / "exploded")}, state)
    elif damage == "cut-in-half":
        state.write_bytes(data[: len(data) // 2])
    elif damage == "other-model":
        loaded = torch.load(state, weights_only=True)
        loaded["model"].pop(next(iter(loaded["model"])))
        torch.save(loaded, state)
    else:
        state.write_bytes(b"" if damage == "zero-bytes" else b"something else")
    before = state.read_bytes()
    with pytest.raises(UserError) as error:
        train(SETTINGS, store, tmp_path)
    said = str(error.value)
    assert str(state) in said and f"delete {tmp_path / 'checkpoint'} to train this run from its start" in said
    assert state.read_bytes() == before
    assert not (tmp_path / "exploded").exists() and not (tmp_path / "run.json").exists()


@pytest.fixture(scope="module")
def one_epoch(store, tmp_path_factory):
    """Folder of a run that was stopped after its first epoch; it has best weights."""
    folder = tmp_path_factory.mktemp("one-epoch")
    process = forked(SETTINGS, store, folder)
    while not (folder / "checkpoint/history.jsonl").exists() and process.is_alive():
        time.sleep(0.01)
    process.terminate()
    process.join()
    return folder


@pytest.mark.parametrize("damage", ["cut-in-half", "zero-bytes", "missing"])
def test_resuming_with_bad_best_weights(store, one_epoch, tmp_path, damage):
    """Told at the start, not after the last epoch."""
    shutil.copytree(one_epoch, tmp_path, dirs_exist_ok=True)
    (best,) = (tmp_path / "checkpoint").glob("best-top1-*.safetensors")
    if damage == "missing":
        best.unlink()
    else:
        os.truncate(best, best.stat().st_size // 2 if damage == "cut-in-half" else 0)
    history = (tmp_path / "checkpoint/history.jsonl").read_bytes()
    with pytest.raises(UserError) as error:
        train(SETTINGS, store, tmp_path)
    said = str(error.value)
    assert f"{best}: missing or damaged" in said
    assert f"delete {tmp_path / 'checkpoint'} to train this run from its start" in said
    assert (tmp_path / "checkpoint/history.jsonl").read_bytes() == history


@pytest.mark.parametrize("name", ["images.npy", "index.csv", "classes.csv"])
@pytest.mark.parametrize("damage", ["cut", "zero-bytes", "missing"])
def test_training_from_a_bad_store(store, tmp_path, name, damage):
    copy = tmp_path / "store"
    shutil.copytree(store, copy)
    if damage == "missing":
        (copy / name).unlink()
    else:  # cut within the last line: the number of lines stays right
        os.truncate(copy / name, (copy / name).stat().st_size - 3 if damage == "cut" else 0)
    with pytest.raises(UserError) as error:
        train(SETTINGS, copy, tmp_path / "run")
    said = str(error.value)
    what = "missing" if damage == "missing" else "damaged"
    assert f"{copy / name} is {what}; delete the folder {copy} and run again" in said


@pytest.fixture
def locks_asked(monkeypatch):
    """Every lock asked for as (kind, whether its descriptor can be read and written); answers like NFSv4."""
    asked, flock = [], fcntl.flock

    def strict(handle, kind):
        mode = fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE
        if kind & fcntl.LOCK_SH and mode == os.O_WRONLY or kind & fcntl.LOCK_EX and mode == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        asked.append(kind)
        return flock(handle, kind)

    monkeypatch.setattr(fcntl, "flock", strict)
    return asked


def test_locks_as_nfs_wants_them(locks_asked, tmp_path):
    """NFSv4 locks shared only what can be read, alone only what can be written."""
    (tmp_path / ".x.1.part").touch()
    files.write_text(tmp_path / "x", "text")
    with CheckpointFolder(tmp_path, SETTINGS).locked():
        pass
    assert (tmp_path / "x").read_text() == "text" and not (tmp_path / ".x.1.part").exists()
    assert any(kind & fcntl.LOCK_SH for kind in locks_asked)
    assert any(kind & fcntl.LOCK_EX for kind in locks_asked)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, caplog, number):
    """As Lustre mounted without -o flock."""

    def no_locks(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with CheckpointFolder(tmp_path, SETTINGS).locked():
        files.write_text(tmp_path / "x", "text")
    assert caplog.text.count("do not start a second trainer in this run folder") == 1
    assert (tmp_path / "x").read_text() == "text"


def load(data: bytes):
    """A checkpoint folder whose state is these bytes, loaded; and that nothing else was written."""
    with tempfile.TemporaryDirectory() as name:
        folder = CheckpointFolder(Path(name), SETTINGS)
        folder.state_file.write_bytes(data)
        try:
            return folder.load()
        except UserError as error:
            assert "\n" not in str(error)
            assert folder.state_file.read_bytes() == data
        finally:
            assert not list(Path(name).rglob("*.part"))


@settings(max_examples=150)
@given(st.data())
def test_any_damage_is_a_user_error_or_a_state(whole, data):
    """Bytes changed, cut out, or put in anywhere of a real checkpoint: an error, a whole state, or one set aside."""
    at = data.draw(st.integers(0, len(whole)))
    length = data.draw(st.integers(0, 64))
    put = data.draw(st.binary(max_size=64))
    found = load(whole[:at] + put + whole[at + length :])
    assert found is None or set(found) == {"model", "progress", "history", "settings"}


@settings(max_examples=150)
@given(st.binary(max_size=300))
@example(b"\x80\x02cos\nsystem\n(S'exit 1'\ntR.")
@example(b"\x80\x04\x95")
@example(b"PK\x03\x04")
def test_any_bytes_are_a_user_error(data):
    assert load(data) is None


@pytest.mark.parametrize("kind", ["pickle-bomb", "text", "empty", "missing"])
def test_pretrained_weights(tmp_path, kind):
    path = tmp_path / "weights.pth"
    if kind == "pickle-bomb":
        torch.save({"layer": Bomb(tmp_path / "exploded")}, path)
    elif kind != "missing":
        path.write_bytes(b"no weights" if kind == "text" else b"")
    model = build("resnet18", 2, FULL)
    with pytest.raises(UserError, match=r"weights\.pth") as error:
        load_pretrained(model, path)
    assert "\n" not in str(error.value) and not (tmp_path / "exploded").exists()


CONFIGS = {
    "python-object": ('name: !!python/object/apply:os.system ["touch exploded"]\n', "is not plain YAML"),
    "open-bracket": ("runs: [hard\n", "is not plain YAML"),
    "not-utf-8": (b"name: caf\xe9\n", "is not plain YAML"),
    "a-list": ("- hard\n", "expected keys and values at the top level"),
    "wrong-type": ("name: x\ndatasets: 3\nbackbones: [resnet18]\nruns: [hard]\n", "config: datasets: expected keys and values, found 3"),
    "text-for-a-number": (
        "name: x\ndatasets: {d: {root: .}}\nbackbones: [resnet18]\nruns: [hard]\ntrain: {lr: 1e-4}\n", "YAML numbers with an exponent need a dot",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), CONFIGS.values(), ids=CONFIGS)
def test_config(tmp_path, text, sentence):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as error:
        configuration.read(path)
    assert sentence in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "exploded").exists()


def test_snakemake_never_builds_objects_from_a_config(run_snakemake, checkout):
    (checkout / "evil.yaml").write_text(CONFIGS["python-object"][0])
    done = run_snakemake("-n", "--configfile", "evil.yaml", check=False)
    assert done.returncode and "Config file is not valid JSON or YAML" in done.stdout
    assert not (checkout / "exploded").exists()
