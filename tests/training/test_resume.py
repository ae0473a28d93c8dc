"""A run that is stopped at any moment ends with the weights of an undisturbed one, bit for bit."""

import os
import random
import shutil
import signal
import time

import pytest
import torch
from calibench.errors import UserError
from calibench.finished import names
from calibench.training import job
from calibench.training.checkpoint import CheckpointFolder

from tests.training.conftest import contents, forked, make_settings, start, train

BACKBONE = "mobilenet_v2"  # has dropout: its masks must come back too


def settings_of(run):
    return make_settings(run, BACKBONE, train={"epochs": 2, "checkpoint_minutes": 1e-9})


@pytest.fixture(scope="module")
def undisturbed(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    train(settings_of("ols"), store, folder)
    return contents(folder)


def wait_for_checkpoint(process, folder, delay):
    state = folder / "checkpoint" / "state.pt"
    end = time.monotonic() + 120
    alive = process.is_alive if hasattr(process, "is_alive") else lambda: process.poll() is None
    while not state.exists() and alive() and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(delay)


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM, pytest.param(signal.SIGUSR1, marks=pytest.mark.slow)]
)
def test_stopped_run_resumes_bit_equal(store, tmp_path, undisturbed, number):
    process = start(settings_of("ols"), store, tmp_path)
    wait_for_checkpoint(process, tmp_path, 0.3)
    os.kill(process.pid, number)
    log = process.communicate(timeout=60)[1]
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number), log
    told = "with a checkpoint; the same command continues from there" in log
    assert told == (number != signal.SIGKILL), log
    assert (tmp_path / "checkpoint" / "state.pt").exists()
    assert not (tmp_path / "run.json").exists()
    assert "resumed at epoch" in train(settings_of("ols"), store, tmp_path)
    assert contents(tmp_path) == undisturbed
    assert not (tmp_path / "checkpoint" / "state.pt").exists()


@pytest.mark.slow
def test_200_kills_200_resumes(store, tmp_path, undisturbed):
    """Killed again and again at random moments, writing and finishing included, until it is through."""
    begun = time.monotonic()
    train(settings_of("ols"), store, tmp_path / "quiet")
    life = time.monotonic() - begun
    draw, kills, runs = random.Random(0), 0, 0
    while kills < 200:
        folder = tmp_path / str(runs)
        while not (folder / "run.json").exists():
            process = forked(settings_of("ols"), store, folder)
            process.join(draw.uniform(0, 1.2 * life))
            if process.is_alive():
                process.kill()
                process.join()
                kills += 1
            else:
                assert process.exitcode == 0, (folder / "stderr").read_text()
        assert contents(folder) == undisturbed
        runs += 1
    print(f"{kills} kills in {runs} runs")


def test_checkpoint_of_other_settings_is_moved_aside(store, tmp_path, undisturbed):
    other = make_settings("ols", BACKBONE, train={"epochs": 2, "lr": 0.5, "checkpoint_minutes": 1e-9})
    process = forked(other, store, tmp_path)
    wait_for_checkpoint(process, tmp_path, 0)
    process.kill()
    process.join()
    train(settings_of("ols"), store, tmp_path)
    assert list(tmp_path.glob("checkpoint-of-*/state.pt"))
    assert contents(tmp_path) == undisturbed


def test_outputs_deleted_after_the_end_are_restored_not_trained_again(store, tmp_path, undisturbed):
    """Snakemake, killed while its job finished, deletes the outputs and starts the job again."""
    train(settings_of("ols"), store, tmp_path)
    for path in [*tmp_path.glob("*.json*"), *tmp_path.glob("*/*.*"), *tmp_path.glob("predictions/*/*")]:
        if path.is_file() and "checkpoint" not in str(path):
            path.unlink()
    (tmp_path / "regime.safetensors").unlink()
    log = train(settings_of("ols"), store, tmp_path)
    assert "had already finished" in log and "epoch 1/" not in log
    assert contents(tmp_path) == undisturbed
    other = make_settings("ols", BACKBONE, train={"epochs": 1})
    assert "epoch 1/1" in train(other, store, tmp_path)


def delete_outputs(folder):
    """What Snakemake does to a job's declared outputs before it starts the job, and after it failed."""
    for name in names.all_files(True):
        (folder / name).unlink(missing_ok=True)


@pytest.mark.parametrize("moment", ["before-the-record", "before-the-links", "among-the-links"])
def test_outputs_deleted_while_they_are_written(store, tmp_path, undisturbed, monkeypatch, moment):
    """A second Snakemake starts the job again while the first one's trainer finishes: nothing is lost."""
    disturbed = []

    def before(function):
        def disturb(*arguments, **options):
            if str(arguments[0]).endswith("run.json") or function is not os.link:
                disturbed.append(delete_outputs(tmp_path))
                shutil.rmtree(tmp_path / "weights", ignore_errors=True)
            return function(*arguments, **options)

        return disturb

    place, name = {
        "before-the-record": (job, "provenance"),
        "before-the-links": (CheckpointFolder, "publish"),
        "among-the-links": (os, "link"),
    }[moment]
    with monkeypatch.context() as patched:
        patched.setattr(place, name, before(getattr(place, name)))
        train(settings_of("ols"), store, tmp_path)
    assert disturbed
    delete_outputs(tmp_path)
    train(settings_of("ols"), store, tmp_path)
    assert contents(tmp_path) == undisturbed
    assert all((tmp_path / name).is_file() for name in names.all_files(True))


def test_kept_outputs_that_lack_one_are_made_again(store, tmp_path, undisturbed):
    train(settings_of("ols"), store, tmp_path)
    delete_outputs(tmp_path)
    (tmp_path / "checkpoint/finished/weights/nll.safetensors").unlink()
    log = train(settings_of("ols"), store, tmp_path)
    assert "weights/nll.safetensors is missing" in log and "had already finished" not in log
    assert contents(tmp_path) == undisturbed


def test_the_state_stays_until_all_outputs_are_kept(store, tmp_path, undisturbed, monkeypatch):
    """An output that vanishes from the kept ones ends in one sentence, and the next start only finishes."""

    def lose(_):
        (tmp_path / "checkpoint/.finished/weights/nll.safetensors").unlink()
        return {}

    with monkeypatch.context() as patched:
        patched.setattr(job, "provenance", lose)
        with pytest.raises(UserError, match="nll.safetensors has been removed; start again"):
            train(settings_of("ols"), store, tmp_path)
    assert (tmp_path / "checkpoint/state.pt").exists() and not (tmp_path / "run.json").exists()
    log = train(settings_of("ols"), store, tmp_path)
    assert "resumed at epoch 3" in log and "epoch 1/" not in log
    assert contents(tmp_path) == undisturbed


def test_back_to_earlier_settings_goes_on_from_their_checkpoint(store, tmp_path, undisturbed, monkeypatch):
    """Settings A, killed; B, killed; A again."""
    other = make_settings("ols", BACKBONE, train={"epochs": 2, "lr": 0.5, "checkpoint_minutes": 1e-9})

    def stop_after_one_epoch(settings):
        def stop(_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(job, "_reporter", lambda epochs: stop)
            with pytest.raises(KeyboardInterrupt):
                train(settings, store, tmp_path)

    stop_after_one_epoch(settings_of("ols"))
    stop_after_one_epoch(other)
    log = train(settings_of("ols"), store, tmp_path)
    assert "moved back" in log and "resumed at epoch 2, step 0" in log
    assert contents(tmp_path) == undisturbed
    assert "resumed at epoch 2, step 0" in train(other, store, tmp_path), "and so do the others"
    assert not list(tmp_path.glob("checkpoint-of-*"))


def test_two_trainers_never_share_a_run(store, tmp_path):
    settings = make_settings("hard", BACKBONE, train={"epochs": 50})
    first = start(settings, store, tmp_path)
    wait_for_checkpoint(first, tmp_path, 0)
    second = start(settings, store, tmp_path)
    message = second.communicate(timeout=60)[1]
    first.kill()
    first.communicate()
    assert second.returncode == 2
    assert f"process {first.pid}" in message and "trains this run" in message


class Bomb:
    def __reduce__(self):
        return (os.system, ("touch /tmp/calibench-bomb",))


@pytest.mark.parametrize("damage", ["half", "pickle", "empty"])
def test_damaged_checkpoint_is_one_clear_sentence(tmp_path, damage):
    checkpoint = CheckpointFolder(tmp_path, make_settings())
    torch.save({"x": Bomb()} if damage == "pickle" else {"x": torch.ones(100)}, checkpoint.state_file)
    data = checkpoint.state_file.read_bytes()
    if damage != "pickle":
        checkpoint.state_file.write_bytes(data[: len(data) // 2] if damage == "half" else b"")
    with pytest.raises(UserError, match="damaged, or not a checkpoint .* delete"):
        checkpoint.load()
    assert not os.path.exists("/tmp/calibench-bomb")
