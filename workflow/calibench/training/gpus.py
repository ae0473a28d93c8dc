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
POLL_SECONDS = 2.0  # between looks for a free GPU
# Not the temporary folder: TMPDIR differs between users and jobs of one machine, its GPUs do not.
LOCK_FOLDERS = (Path("/dev/shm"), Path("/tmp"))
DEVICES = Path("/dev")


def has_gpu() -> bool:
    """Whether the machine shows an NVIDIA GPU to this process, usable or not.

    A container may hold a GPU of any number, and under WSL they all stand behind one file.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1", "NoDevFiles")
    return not hidden and (any(DEVICES.glob("nvidia[0-9]*")) or (DEVICES / "dxg").exists())


def _runs_on(capability: tuple[int, int], built_for: list[str]) -> bool:
    """Whether a torch built for these architectures (sm_80, compute_90) has kernels for a GPU.

    A kernel runs on later GPUs of its own generation; "compute" is compiled for whatever is newer.
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
    """The GPUs this process may use and this torch has kernels for: lock name → torch's number.

    Raises:
        UserError: if there is none, with what to install.
    """
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
            "install a build that has (make setup TORCH=cu126 for older GPUs), or ask for another GPU"
        )
    return found


def _lock_name(number: int) -> str:
    """The hardware's identifier: in a Slurm job that was given one GPU, every job of a node calls its own "0".

    Of a MIG instance its name in CUDA_VISIBLE_DEVICES: the identifier may be that of the whole GPU, which other
    instances share. A process can see one instance only, the first of those named.
    """
    uuid = str(torch.cuda.get_device_properties(number).uuid)
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    return first if first.startswith("MIG-") and torch.cuda.device_count() == 1 else uuid


def _open_lock(path: Path) -> int:
    """A descriptor of a lock file that every user of the machine shares, made if need be; no link is followed.

    A file that is there is opened for reading only: that is enough to lock it, it may be another user's, and the
    system refuses even root to "create" another user's file in a folder that is open to all.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    except FileExistsError:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe in its place must not hang
    with contextlib.suppress(OSError):
        os.fchmod(descriptor, 0o666)  # whatever the umask is
    return descriptor


def _try_lock(path: Path, kind: int = fcntl.LOCK_EX) -> IO | None:
    """The held lock, to be closed; None if another process holds it.

    Raises:
        UserError: if the file cannot be opened or locked.
    """
    try:
        handle = open(_open_lock(path), "rb")  # noqa: SIM115 - the lock lives as long as the handle
    except OSError as error:
        why = error.strerror
        raise UserError(
            f"{path}: cannot lock a GPU ({why}); have the file removed, then start again"
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
    """Where all processes of the machine lock its GPUs: memory, which is never shared with another machine."""
    return next((f for f in LOCK_FOLDERS if f.is_dir() and os.access(f, os.W_OK)), LOCK_FOLDERS[-1])


def _hold(stem: str, slot: int, runs: int) -> list[IO] | None:
    """Locks of one slot of a GPU: the GPU's own, which runs that share it hold together, and the slot's."""
    whole = _try_lock(Path(f"{stem}.lock"), fcntl.LOCK_EX if runs == 1 else fcntl.LOCK_SH)
    if whole is None or runs == 1:
        return whole and [whole]
    part = _try_lock(Path(f"{stem}.{slot}.lock"))
    if part is None:
        whole.close()
        return None
    return [whole, part]


def _first_free(gpus: list[str], folder: Path, runs: int) -> tuple[int, list[IO]] | None:
    for slot in range(runs):  # outside: a second run goes to a GPU only when every GPU has a first
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
    """Hold the first free of ``gpus`` for the lifetime of the block; yields its index in the list.

    Locks are files in a fixed folder of the machine, for all users and jobs, whatever their TMPDIR; the system
    releases them when the process ends.

    Args:
        gpus: identifiers, in the order they are tried.
        folder: where the lock files are (for tests).
        wait: wait for a GPU to be released when all are taken.
        runs_per_gpu: how many runs may hold one GPU together, if all of them allow it.

    Raises:
        UserError: if all are taken and ``wait`` is false, or a lock file cannot be used.
    """
    folder = folder or lock_folder()
    claimed = _first_free(gpus, folder, runs_per_gpu)
    if claimed is None and wait:
        log.info("all %d visible GPUs are taken by other runs; waiting for one", len(gpus))
    while claimed is None:
        if not wait:
            raise UserError(
                f"all {len(gpus)} visible GPUs are taken by other runs; wait for one of them to end"
            )
        time.sleep(POLL_SECONDS)
        claimed = _first_free(gpus, folder, runs_per_gpu)
    index, handles = claimed
    with contextlib.ExitStack() as stack:
        for handle in handles:
            stack.enter_context(handle)
        yield index
