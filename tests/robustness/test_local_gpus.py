"""Several runs on one machine: no two of them on one GPU, shown with made-up devices and real processes."""

import multiprocessing
import os
import stat
import tempfile
import threading
import time
from pathlib import Path

import pytest
from calibench.errors import UserError
from calibench.training import gpus as device


def holder(told, gpus, seconds, folder, environment):
    """Claims a device, says when it had it, and holds it for a while."""
    os.environ.update(environment)
    device.POLL_SECONDS = 0.05
    with device.claim_gpu(gpus.split(","), folder) as index:
        told.send((gpus.split(",")[index], time.monotonic()))
        time.sleep(seconds)
        told.send(time.monotonic())


@pytest.fixture
def hold(tmp_path):
    """``hold("a,b", seconds)`` forks a process that claims one of the devices; it and what it says."""
    started, forks = [], multiprocessing.get_context("fork")

    def start(gpus, seconds, folder=tmp_path, **environment):
        heard, told = forks.Pipe(duplex=False)
        process = forks.Process(target=holder, args=(told, gpus, seconds, folder, environment))
        process.start()
        started.append(process)
        return process, heard

    yield start
    for process in started:
        process.kill()
        process.join()


def claimed(held):
    """(device, when) of a holder's claim."""
    return held[1].recv()


def test_five_runs_share_two_gpus_one_at_a_time_each(hold):
    """Each process sees the devices in its own order; claims of one device never overlap."""
    holders = [hold("a,b" if i % 2 else "b,a", 0.4) for i in range(5)]
    spans = {"a": [], "b": []}
    for _, heard in holders:
        name, begun = heard.recv()
        spans[name].append((begun, heard.recv()))
    assert len(spans["a"]) + len(spans["b"]) == 5 and spans["a"] and spans["b"]
    for held in spans.values():
        held.sort()
        assert all(end <= begin for (_, end), (begin, _) in zip(held, held[1:], strict=False))


def test_kill_9_releases_the_gpu(hold):
    first = hold("only", 600)
    assert claimed(first)[0] == "only"
    second = hold("only", 0)
    assert not second[1].poll(0.5), "it waits"
    killed = time.monotonic()
    first[0].kill()
    assert claimed(second)[1] > killed
    second[0].join(30)
    assert second[0].exitcode == 0


def test_waiting_is_said(hold, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(device, "POLL_SECONDS", 0.05)
    both = [hold("one,two", 600) for _ in range(2)]
    assert {claimed(process)[0] for process in both} == {"one", "two"}
    threading.Timer(0.3, both[0][0].kill).start()
    with device.claim_gpu(["one", "two"], tmp_path) as index:
        assert index in (0, 1)
    assert caplog.text.count("all 2 visible GPUs are in use by other runs; waiting for one") == 1


def test_jobs_that_number_their_gpus_alike_are_told_apart(tmp_path):
    """In two Slurm jobs of one node each calls its GPU 0; the locks go by the hardware's identifier."""
    with (
        device.claim_gpu(["GPU-1111"], tmp_path, wait=False) as first,
        device.claim_gpu(["GPU-2222"], tmp_path, wait=False) as second,
    ):
        assert (first, second) == (0, 0)


@pytest.fixture
def made_up():
    """Name of a GPU that no other test has, locked where real ones are."""
    name = f"test{os.getpid()}x{time.monotonic_ns()}"
    yield name
    (device.lock_folder() / f"calibench-gpu-{name}.lock").unlink(missing_ok=True)


def test_jobs_with_other_temporary_folders_share_the_locks(hold, tmp_path, made_up):
    """As Slurm's private TMPDIR or two users have them."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first = hold(made_up, 600, folder=None, TMPDIR=str(tmp_path / "one"))
    assert claimed(first)[0] == made_up
    second = hold(made_up, 0, folder=None, TMPDIR=str(tmp_path / "two"))
    assert not second[1].poll(1), "it waits"
    killed = time.monotonic()
    first[0].kill()
    assert claimed(second)[1] > killed


def test_every_user_can_lock_the_file_of_another(tmp_path):
    umask = os.umask(0o077)
    try:
        with device.claim_gpu(["a"], tmp_path, wait=False):
            pass
    finally:
        os.umask(umask)
    (lock,) = tmp_path.iterdir()
    assert stat.S_IMODE(lock.stat().st_mode) == 0o666 and str(os.getuid()) not in lock.name


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_two_users_one_gpu():
    """In a folder that is open to all, another user opens the lock and finds it held, then free."""
    with tempfile.TemporaryDirectory(
        dir=device.lock_folder()
    ) as name:  # pytest's folders are its user's alone
        folder = Path(name)
        folder.chmod(0o1777)
        with device.claim_gpu(["a"], folder, wait=False):
            assert as_nobody(folder) == "taken"
        assert as_nobody(folder) == "free"


def as_nobody(folder):
    """What a claim of GPU "a" by another user comes to."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.setuid(65534)
        try:
            with device.claim_gpu(["a"], folder, wait=False):
                os.write(write, b"free")
        except UserError as error:
            os.write(write, b"taken" if "are in use" in str(error) else str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as stream:
        return stream.read()


def test_a_link_in_place_of_a_lock_is_not_followed(tmp_path):
    target = tmp_path / "target"
    (tmp_path / "calibench-gpu-a.lock").symlink_to(target)
    with (
        pytest.raises(UserError, match=r"calibench-gpu-a\.lock: cannot lock a GPU"),
        device.claim_gpu(["a"], tmp_path, wait=False),
    ):
        pass
    assert not target.exists()
