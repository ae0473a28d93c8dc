"""Several runs on one machine: no two of them on one GPU, shown with made-up devices and real processes."""

import subprocess
import sys
import threading
import time

import pytest
from calibench.training import device

from tests.conftest import clean_environment
from tests.training.conftest import WORKFLOW

# Claims a device, writes down when it had it, and holds it for a while.
HOLDER = """
import pathlib, sys, time
from calibench.training import device
device.POLL_SECONDS = 0.05
folder, gpus, hold = pathlib.Path(sys.argv[1]), sys.argv[2].split(","), float(sys.argv[3])
with device.claim_gpu(gpus, folder) as index:
    begun = time.monotonic()
    print(gpus[index], begun, flush=True)
    time.sleep(hold)
    print(time.monotonic(), flush=True)
"""


@pytest.fixture
def hold(tmp_path):
    """``hold("a,b", seconds)`` starts a process that claims one of the devices."""
    started = []

    def start(gpus, seconds):
        command = [sys.executable, "-c", HOLDER, str(tmp_path), gpus, str(seconds)]
        environment = clean_environment() | {"PYTHONPATH": str(WORKFLOW), "OMP_NUM_THREADS": "1"}
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def claimed(process):
    """(device, when) of a holder's claim."""
    name, when = process.stdout.readline().split()
    return name, float(when)


def test_five_runs_share_two_gpus_one_at_a_time_each(hold):
    """Each process sees the devices in its own order; claims of one device never overlap."""
    holders = [hold("a,b" if i % 2 else "b,a", 0.4) for i in range(5)]
    spans = {"a": [], "b": []}
    for process in holders:
        output = process.communicate(timeout=120)[0].split()
        spans[output[0]].append((float(output[1]), float(output[2])))
    assert len(spans["a"]) + len(spans["b"]) == 5 and spans["a"] and spans["b"]
    for held in spans.values():
        held.sort()
        assert all(end <= begin for (_, end), (begin, _) in zip(held, held[1:], strict=False))


def test_kill_9_releases_the_gpu(hold):
    first = hold("only", 600)
    assert claimed(first)[0] == "only"
    second = hold("only", 0)
    time.sleep(0.5)
    assert second.poll() is None  # it waits
    killed = time.monotonic()
    first.kill()
    assert claimed(second)[1] > killed
    assert second.wait(30) == 0


def test_waiting_is_said(hold, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(device, "POLL_SECONDS", 0.05)
    both = [hold("one,two", 600) for _ in range(2)]
    assert {claimed(process)[0] for process in both} == {"one", "two"}
    threading.Timer(0.3, both[0].kill).start()
    with device.claim_gpu(["one", "two"], tmp_path) as index:
        assert index in (0, 1)
    assert caplog.text.count("all 2 visible GPUs are taken by other runs; waiting for one") == 1


def test_jobs_that_number_their_gpus_alike_are_told_apart(tmp_path):
    """In two Slurm jobs of one node each calls its GPU 0; the locks go by the hardware's identifier."""
    with (
        device.claim_gpu(["GPU-1111"], tmp_path, wait=False) as first,
        device.claim_gpu(["GPU-2222"], tmp_path, wait=False) as second,
    ):
        assert (first, second) == (0, 0)
