"""A run that starts as a fork of a server is the run that starts by itself: weights, logs, exit codes and signals."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from calibench.training import warm

from tests.conftest import clean_environment
from tests.training.conftest import WORKFLOW, contents, make_settings, start, train

ONE_THREAD = dict.fromkeys(warm.THREADS, "1")
PARENT = """
import os, sys
from pathlib import Path
from calibench.training import warm
warm.start(Path(sys.argv[1]), 1)
print(os.environ[warm.ADDRESS], flush=True)
sys.stdin.read()
assert "torch" not in sys.modules
"""


@pytest.fixture(scope="module")
def parent():
    """A process that stands for Snakemake: it has started the server, and lives until its stdin is closed."""
    command = [sys.executable, "-c", PARENT, str(WORKFLOW)]
    environment = clean_environment() | {"PYTHONPATH": str(WORKFLOW)}
    with subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE, stdout=-1) as process:
        process.address = process.stdout.readline().strip()
        yield process


@pytest.fixture
def asking(parent, monkeypatch):
    """Stages that this test starts find the server."""
    for variable, value in (ONE_THREAD | {warm.ADDRESS: parent.address}).items():
        monkeypatch.setenv(variable, value)


LONG = make_settings("ols", "lenet", train={"epochs": 100_000, "checkpoint_minutes": 1e-9})


def trainer(folder: Path) -> int:
    """The process that trains in a folder, once it has a checkpoint."""
    end = time.monotonic() + 120
    while not (folder / "checkpoint" / "state.pt").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    return int((folder / "checkpoint" / "lock").read_text().split()[1])


def gone(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_two_runs_of_one_server_are_bit_equal_to_a_plain_one(store, tmp_path, asking):
    settings = make_settings("ols", "lenet")
    train(settings, store, tmp_path / "plain")
    for run in ("one", "two"):
        process = start(settings, store, tmp_path / run)
        log = process.communicate(timeout=120)[1]
        assert process.returncode == 0 and "epoch 3/3" in log
        assert contents(tmp_path / run) == contents(tmp_path / "plain")
        kept = (tmp_path / run / "checkpoint" / "lock").read_text()
        assert f"process {process.pid} on" not in kept, "it did not ask the server"


def test_a_killed_run_goes_on_through_the_server(store, tmp_path, asking):
    settings = make_settings("ols", "lenet", train={"epochs": 40, "checkpoint_minutes": 1e-9})
    train(settings, store, tmp_path / "plain")
    process = start(settings, store, tmp_path / "run")
    os.kill(trainer(tmp_path / "run"), signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGKILL
    process = start(settings, store, tmp_path / "run")
    log = process.communicate(timeout=120)[1]
    assert process.returncode == 0 and "resumed at epoch" in log
    assert contents(tmp_path / "run") == contents(tmp_path / "plain")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_is_passed_on(store, tmp_path, asking, number):
    process = start(LONG, store, tmp_path)
    pid = trainer(tmp_path)
    process.send_signal(number)
    log = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number
    assert "with a checkpoint; the same command continues from there" in log and gone(pid)


def test_a_stage_ends_with_the_one_who_asked_for_it(store, tmp_path, asking):
    process = start(LONG, store, tmp_path)
    pid = trainer(tmp_path)
    assert pid != process.pid
    process.kill()
    process.communicate(timeout=60)
    end = time.monotonic() + 30
    while not gone(pid):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_stage_that_is_killed_is_told_from_one_that_ended(store, tmp_path, asking):
    process = start(LONG, store, tmp_path)
    os.kill(trainer(tmp_path), signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGKILL


def test_a_mistake_has_the_same_sentence_and_code(store, tmp_path, asking, monkeypatch):
    found = []
    for address in (os.environ[warm.ADDRESS], "/nowhere/" + Path(os.environ[warm.ADDRESS]).name):
        monkeypatch.setenv(warm.ADDRESS, address)  # the second is no server: the stage runs by itself
        process = start(make_settings("ols", "lenet"), store / "none", tmp_path)
        found.append((process.communicate(timeout=120)[1], process.returncode))
    assert found[0] == found[1]
    assert found[0][1] == 2 and "error: " in found[0][0] and "Traceback" not in found[0][0]


@pytest.mark.parametrize("variable", ["SLURM_JOB_ID", "OMP_NUM_THREADS"])
def test_a_stage_of_another_job_or_with_other_threads_does_not_ask(asking, monkeypatch, variable):
    monkeypatch.setenv(variable, "7")
    assert warm.ask(["train", "--help"]) is None


def test_only_stages_that_train_or_predict_ask(asking):
    assert warm.ask(["tables", "--help"]) is None
    assert warm.ask([]) is None


def test_imports_leave_cuda_usable_in_a_fork():
    """As the server does before it forks; a torch without CUDA cannot tell."""
    code = (
        "import os, torch; from calibench.training import warm; warm.import_all(); "
        "pid = os.fork(); pid or os._exit(10 + torch.cuda._is_in_bad_fork()); "
        "sys = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]); assert sys == 10, sys"
    )
    own = ONE_THREAD | {"PYTHONPATH": str(WORKFLOW), "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
    subprocess.run([sys.executable, "-c", code], env=clean_environment() | own, check=True, timeout=120)


def test_the_server_ends_with_its_parent_after_the_last_stage(store, tmp_path, parent, asking):
    process = start(make_settings("ols", "lenet", train={"epochs": 60}), store, tmp_path)
    trainer(tmp_path)
    parent.stdin.close()
    assert parent.wait(timeout=30) == 0
    process.communicate(timeout=120)
    assert process.returncode == 0
    end = time.monotonic() + 30
    while Path(parent.address).parent.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
