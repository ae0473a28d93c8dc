"""Which device a run takes, and in which precision it computes."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from calibench.errors import UserError


def visible_gpus() -> list[str]:
    """Identifiers of the GPUs this process may use, in torch's order; stable across processes of one machine."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [n.strip() for n in listed.split(",") if n.strip()] if listed is not None else []
    count = torch.cuda.device_count()
    return names[:count] if len(names) >= count > 0 else [str(i) for i in range(count)]


def _try_lock(path: Path):
    handle = open(path, "a")  # noqa: SIM115 - the lock lives as long as the handle
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle


@contextlib.contextmanager
def claim_gpu(gpus: list[str], folder: Path | None = None) -> Iterator[int]:
    """Hold the first free of ``gpus`` for the lifetime of the block; yields its index in the list.

    Locks are files in the machine's temporary folder, released by the system when the process ends.

    Raises:
        UserError: if all are taken.
    """
    folder = folder or Path(tempfile.gettempdir())
    for index, name in enumerate(gpus):
        safe = "".join(c if c.isalnum() else "_" for c in name)
        handle = _try_lock(folder / f"calibench-gpu-{os.getuid()}-{safe}.lock")
        if handle is not None:
            with handle:
                yield index
            return
    raise UserError(f"all {len(gpus)} visible GPUs are taken by other runs; start snakemake with --resources gpu={len(gpus)}")


@contextlib.contextmanager
def take_device(wanted: str) -> Iterator[torch.device]:
    """The device of a run: ``cpu``, or a GPU held by a lock.

    Raises:
        UserError: if a GPU is asked for (by config, or by a job that was given one) and none is usable.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "").strip() not in ("", "-1", "NoDevFiles")
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available() and not given):
        yield torch.device("cpu")
        return
    if not torch.cuda.is_available():
        raise UserError(
            f"a GPU was asked for (train: device: {wanted}, CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')}) "
            f"but torch {torch.__version__} cannot use one; check nvidia-smi and that the driver fits CUDA "
            f"{torch.version.cuda} (make setup TORCH=…), or set train: device: cpu"
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
    torch.backends.cudnn.benchmark = not deterministic


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in MB: the device's on a GPU, the process's on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
