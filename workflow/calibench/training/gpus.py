"""Which GPU a run takes: locks that all processes of a machine share."""

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import torch

from calibench.errors import UserError

log = logging.getLogger(__name__)
POLL_SECONDS = 2.0  # between two checks for a free GPU
# Not TMPDIR, which may differ between users and jobs of one machine.
LOCK_FOLDERS = (Path("/dev/shm"), Path("/tmp"))
DEVICES = Path("/dev")


def has_gpu() -> bool:
    """Whether this process can see an NVIDIA GPU, usable or not.

    In a container the GPU may have any number; under WSL one file stands for all GPUs.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1", "NoDevFiles")
    return not hidden and (any(DEVICES.glob("nvidia[0-9]*")) or (DEVICES / "dxg").exists())


def _runs_on(capability: tuple[int, int], built_for: list[str]) -> bool:
    """Whether a torch built for these architectures (sm_80, compute_90) has kernels for a GPU.

    An "sm" kernel runs on later GPUs of the same generation; "compute" code is compiled for any newer GPU.
    """
    for name in built_for:
        kind, _, number = name.partition("_")
        major, minor = divmod(int("".join(c for c in number if c.isdigit())), 10)
        if kind == "compute" and (major, minor) <= capability:
            return True
        if kind == "sm" and major == capability[0] and minor <= capability[1]:
            return True
    return False


def usable_gpus() -> dict[str, int]:
    """The GPUs that this process and this torch can use: {lock name: torch's number}; UserError if there is none."""
    built_for = torch.cuda.get_arch_list()
    found, unfit = {}, []
    for number in range(torch.cuda.device_count()):
        capability = torch.cuda.get_device_capability(number)
        if _runs_on(capability, built_for):
            found[_lock_name(number)] = number
        else:
            unfit.append(f"{torch.cuda.get_device_name(number)} (sm_{capability[0]}{capability[1]})")
    if not found:
        raise UserError(
            f"torch {torch.__version__} has no kernels for {', '.join(unfit)}, only for {', '.join(built_for)}; "
            "install a build that has them (make setup TORCH=cu126 for older GPUs), or use another GPU"
        )
    return found


def _lock_name(number: int) -> str:
    """The UUID of the GPU, because in Slurm every job with one GPU calls it "0".

    For a MIG instance its name in CUDA_VISIBLE_DEVICES: the UUID may be that of the whole GPU, which other instances
    share. A process can see only one instance, the first of those named.
    """
    uuid = str(torch.cuda.get_device_properties(number).uuid)
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    return first if first.startswith("MIG-") and torch.cuda.device_count() == 1 else uuid


def _open_lock(path: Path) -> int:
    """A descriptor of a lock file that all users of the machine share, made if necessary; links are not followed.

    An existing file is opened read-only: that is enough for a lock, the file may belong to another user, and in a
    folder that is open to all the system does not let even root "create" another user's file.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    except FileExistsError:
        return os.open(
            path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        )  # a pipe in its place must not block
    with contextlib.suppress(OSError):
        os.fchmod(descriptor, 0o666)  # whatever the umask is
    return descriptor


def _try_lock(path: Path, kind: int = fcntl.LOCK_EX) -> IO | None:
    """The open lock file; None if another process has the lock; UserError if it cannot be opened or locked."""
    try:
        handle = open(_open_lock(path), "rb")  # noqa: SIM115 - closing the file releases the lock
    except OSError as error:
        raise UserError(
            f"{path}: cannot lock a GPU ({error.strerror}); have this file removed, and start again"
        ) from error
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        if isinstance(error, BlockingIOError):
            return None
        raise UserError(f"{path}: cannot lock a GPU ({error.strerror}); check that folder's mount") from error
    return handle


def lock_folder() -> Path:
    """The folder of the GPU locks: in memory if possible, because that is never shared with another machine."""
    return next((f for f in LOCK_FOLDERS if f.is_dir() and os.access(f, os.W_OK)), LOCK_FOLDERS[-1])


def _hold(stem: str, slot: int, runs: int) -> list[IO] | None:
    """The locks of one slot of a GPU: that of the GPU, shared by runs that share the GPU, and that of the slot."""
    whole = _try_lock(Path(f"{stem}.lock"), fcntl.LOCK_EX if runs == 1 else fcntl.LOCK_SH)
    if whole is None or runs == 1:
        return whole and [whole]
    part = _try_lock(Path(f"{stem}.{slot}.lock"))
    if part is None:
        whole.close()
        return None
    return [whole, part]


def _first_free(gpus: list[str], folder: Path, runs: int) -> tuple[int, list[IO]] | None:
    for slot in range(runs):  # the outer loop: a GPU gets a second run only when every GPU has one
        for index, name in enumerate(gpus):
            safe = "".join(c if c.isalnum() else "_" for c in name)
            held = _hold(f"{folder}/calibench-gpu-{safe}", slot, runs)
            if held is not None:
                return index, held
    return None


@contextlib.contextmanager
def claim_gpu(
    gpus: list[str], folder: Path | None = None, wait: bool = True, runs_per_gpu: int = 1
) -> Iterator[int]:
    """Lock the first free one of ``gpus`` for the block; yields its index in the list.

    Locks are files in one folder of the machine, for all users and jobs; the system releases them when the process
    ends.

    Args:
        gpus: identifiers, tried in this order.
        folder: folder of the lock files (for tests).
        wait: wait for a GPU if all are in use.
        runs_per_gpu: how many runs may share one GPU, if all of them allow it.

    Raises:
        UserError: all are in use and ``wait`` is false, or a lock file cannot be used.
    """
    folder = folder or lock_folder()
    claimed = _first_free(gpus, folder, runs_per_gpu)
    if claimed is None and wait:
        log.info("all %d visible GPUs are in use by other runs; waiting for one", len(gpus))
    while claimed is None:
        if not wait:
            raise UserError(f"all {len(gpus)} visible GPUs are in use by other runs; wait until one is free")
        time.sleep(POLL_SECONDS)
        claimed = _first_free(gpus, folder, runs_per_gpu)
    index, handles = claimed
    with contextlib.ExitStack() as stack:
        for handle in handles:
            stack.enter_context(handle)
        yield index
