"""`calibench status`, from the files that real runs write."""

import errno
import fcntl
import json
import os
import socket
import time

import pytest
import yaml
from calibench.stages import status

from tests.workflow.conftest import MINI

LINE = {"val_top1": 0.5, "seconds": 30.0}


@pytest.fixture
def experiment(tmp_path):
    """``run(name)``: the folder of one run; ``status(*options)``: what is printed."""
    (tmp_path / "mini.yaml").write_text(
        yaml.safe_dump(MINI | {"runs": ["hard", "ls", "ols"], "train": {"epochs": 4}})
    )

    def run(name):
        folder = tmp_path / f"results/mini/digits/resnet20/{name}/seed0"
        (folder / "checkpoint").mkdir(parents=True)
        return folder

    return run


@pytest.fixture
def said(tmp_path, capsys):
    def show(*options):
        status.main([str(tmp_path / "mini.yaml"), "--directory", str(tmp_path), *options])
        return capsys.readouterr().out.splitlines()

    return show


def history(folder, epochs):
    lines = [json.dumps(LINE | {"val_top1": 0.1 * (epoch + 1)}) + "\n" for epoch in range(epochs)]
    (folder / "history.jsonl").write_text("".join(lines))


def old_state(folder):
    (folder / "checkpoint/state.pt").touch()
    os.utime(folder / "checkpoint/state.pt", (time.time() - 9999,) * 2)


def test_each_state(experiment, said):
    assert said() == ["3 runs: 0 done, 0 running, 0 failed, 0 stopped, 3 waiting"]
    done, running, failed = (experiment(name) for name in ("hard", "ls", "ols"))
    history(done, 4)
    (done / "run.json").touch()
    history(running / "checkpoint", 2)
    old_state(running)
    history(failed / "checkpoint", 1)
    old_state(failed)
    (failed / "train.log").write_text("04:00:00 INFO epoch 1/4\nerror: loss is not finite; lower train.lr\n")
    with open(running / "checkpoint/lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        lines = said()
    running = "digits/resnet20/ls/seed0 running epoch 2/4 best validation Top-1 0.200 left 1 min 00 s"
    assert " ".join(lines[0].split()) == running
    assert "failed" in lines[1] and lines[2].strip() == "loss is not finite; lower train.lr"
    assert lines[3] == "3 runs: 1 done, 1 running, 1 failed, 0 stopped, 0 waiting"
    assert "correct the mistake in the message" in lines[4]
    lines = said("--all")
    assert "stopped" in lines[1] and "done" in lines[0] and "start the same snakemake command" in lines[-1]


def test_a_fresh_checkpoint_of_another_node_counts_as_running(experiment, said):
    folder = experiment("hard")
    history(folder / "checkpoint", 1)
    (folder / "checkpoint/state.pt").touch()
    assert "1 running" in said()[-1]


@pytest.mark.parametrize(("host", "state"), [(socket.gethostname(), "stopped"), ("node17", "running")])
def test_a_free_lock_tells_of_its_own_machine_only(experiment, said, host, state):
    folder = experiment("hard")
    history(folder / "checkpoint", 1)
    (folder / "checkpoint/state.pt").touch()
    (folder / "checkpoint/lock").write_text(f"process 1 on {host}")
    assert f"1 {state}" in " ".join(said())


def test_a_file_system_without_locks_is_not_a_running_trainer(experiment, said, monkeypatch):
    folder = experiment("hard")
    history(folder / "checkpoint", 1)
    old_state(folder)
    (folder / "checkpoint/lock").touch()

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert "1 stopped" in " ".join(said())
