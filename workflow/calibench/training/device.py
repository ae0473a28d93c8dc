"""Which device a run takes, and in which precision it computes."""

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from calibench.errors import UserError

log = logging.getLogger(__name__)
POLL_SECONDS = 2.0  # between looks for a free GPU
# Not the temporary folder: TMPDIR differs between users and jobs of one machine, its GPUs do not.
LOCK_FOLDERS = (Path("/dev/shm"), Path("/tmp"))


def visible_gpus() -> list[str]:
    """Hardware identifiers of the GPUs this process may use, in torch's order.

    Not their numbers: inside a Slurm job that was given one GPU, every job of a node calls its own "0".
    """
    return [str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())]


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


def _try_lock(path: Path):
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
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        if isinstance(error, BlockingIOError):
            return None
        raise UserError(f"{path}: cannot lock a GPU ({error.strerror}); check that folder's mount") from error
    return handle


def lock_folder() -> Path:
    """Where all processes of the machine lock its GPUs: memory, which is never shared with another machine."""
    return next((f for f in LOCK_FOLDERS if f.is_dir() and os.access(f, os.W_OK)), LOCK_FOLDERS[-1])


def _first_free(gpus: list[str], folder: Path):
    for index, name in enumerate(gpus):
        safe = "".join(c if c.isalnum() else "_" for c in name)
        handle = _try_lock(folder / f"calibench-gpu-{safe}.lock")
        if handle is not None:
            return index, handle
    return None


@contextlib.contextmanager
def claim_gpu(gpus: list[str], folder: Path | None = None, wait: bool = True) -> Iterator[int]:
    """Hold the first free of ``gpus`` for the lifetime of the block; yields its index in the list.

    Locks are files in a fixed folder of the machine, for all users and jobs, whatever their TMPDIR; the system
    releases them when the process ends.

    Args:
        gpus: identifiers, in the order they are tried.
        folder: where the lock files are (for tests).
        wait: wait for a GPU to be released when all are taken.

    Raises:
        UserError: if all are taken and ``wait`` is false, or a lock file cannot be used.
    """
    folder = folder or lock_folder()
    claimed = _first_free(gpus, folder)
    if claimed is None and wait:
        log.info("all %d visible GPUs are taken by other runs; waiting for one", len(gpus))
    while claimed is None:
        if not wait:
            raise UserError(
                f"all {len(gpus)} visible GPUs are taken by other runs; wait for one of them to end"
            )
        time.sleep(POLL_SECONDS)
        claimed = _first_free(gpus, folder)
    index, handle = claimed
    with handle:
        yield index


def has_gpu() -> bool:
    """Whether the machine shows an NVIDIA GPU to this process, usable or not."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1", "NoDevFiles")
    return not hidden and Path("/dev/nvidia0").exists()


@contextlib.contextmanager
def take_device(wanted: str) -> Iterator[torch.device]:
    """The device of a run: ``cpu``, or a GPU held by a lock.

    Args:
        wanted: ``cpu``; ``cuda``; or ``auto`` = a GPU where the machine has one, else the CPU.

    Raises:
        UserError: if a GPU is asked for, or there, and not usable.
    """
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available() and not has_gpu()):
        yield torch.device("cpu")
        return
    if not torch.cuda.is_available():
        raise UserError(
            f"train: device: {wanted} wants a GPU, but torch {torch.__version__} cannot use one "
            f"(CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}); check nvidia-smi and that the "
            f"driver fits CUDA {torch.version.cuda} (make setup TORCH=…), or set train: device: cpu"
        )
    with claim_gpu(visible_gpus()) as index:
        torch.cuda.set_device(index)
        yield torch.device("cuda", index)


def fast_bfloat16(device: torch.device) -> bool:
    """Whether bf16 autocast pays here: GPUs of compute capability 8 and up, CPUs with AMX or AVX512-BF16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    flags = _cpu_flags()
    return "amx_bf16" in flags or "avx512_bf16" in flags


def _cpu_flags() -> set[str]:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return set()
    line = next((x for x in cpuinfo.read_text().splitlines() if x.startswith("flags")), "")
    return set(line.split())


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The autocast context of a run: bf16 if asked for, or if ``auto`` and the hardware is fast at it."""
    enabled = precision == "bfloat16" or (precision == "auto" and fast_bfloat16(device))
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def set_determinism(deterministic: bool) -> None:
    """Make torch refuse operations without a deterministic form (bit-equal repeats on the same machine)."""
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    # Nothing here reads memory before it is written; filling it all with NaN first costs up to 14 % of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = not deterministic


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in MB: the device's on a GPU, the process's on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
