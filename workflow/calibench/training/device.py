"""The device of a run and how the run computes on it: precision, determinism, memory."""

import contextlib
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from calibench.errors import UserError
from calibench.training.gpus import claim_gpu, has_gpu, usable_gpus


@contextlib.contextmanager
def take_device(wanted: str, runs_per_gpu: int = 1) -> Iterator[torch.device]:
    """The device of a run: the CPU, or a GPU locked for this run. Too little memory is a UserError.

    Args:
        wanted: ``cpu``; ``cuda``; or ``auto`` = a GPU if the machine has one, else the CPU.
        runs_per_gpu: how many runs may share a GPU.

    Raises:
        UserError: ``cuda`` is wanted, or the machine has a GPU, but it cannot be used; or its memory is too small.
    """
    with _claimed(wanted, runs_per_gpu) as device, _memory_errors(device):
        yield device


@contextlib.contextmanager
def _claimed(wanted: str, runs_per_gpu: int) -> Iterator[torch.device]:
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available() and not has_gpu()):
        yield torch.device("cpu")
        return
    if not torch.cuda.is_available():
        raise UserError(
            f"train.device is {wanted}, but torch {torch.__version__} cannot use a GPU here "
            f"(CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}); check nvidia-smi and that the "
            f"driver fits CUDA {torch.version.cuda} (make setup TORCH=…), or set train.device to cpu"
        )
    gpus = usable_gpus()
    with claim_gpu(list(gpus), runs_per_gpu=runs_per_gpu) as index:
        number = list(gpus.values())[index]
        torch.cuda.set_device(number)
        yield torch.device("cuda", number)


@contextlib.contextmanager
def _memory_errors(device: torch.device) -> Iterator[None]:
    """Turn torch's error for too little GPU memory into a UserError that says what to change."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        free, total = (n / 2**30 for n in torch.cuda.mem_get_info(device))
        own = torch.cuda.max_memory_reserved(device) / 2**30
        raise UserError(
            f"the GPU's memory is too small: this run used up to {own:.1f} of {total:.1f} GB ({free:.1f} GB are free now); "
            "lower train.batch_size, set train.resident to never or train.precision to bfloat16, lower "
            "resources.runs_per_gpu, or use a larger GPU"
        ) from error


def free_memory(device: torch.device) -> None:
    """Return unused memory to the device, for other processes or for a larger block."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()


def fast_bfloat16(device: torch.device) -> bool:
    """Whether bf16 autocast is faster: on GPUs of compute capability 8 and up, CPUs with AMX or AVX512-BF16."""
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


def choose_precision(wanted: str, device: torch.device, depthwise: bool) -> str:
    """``float32`` or ``bfloat16``: the meaning of ``train.precision`` (auto = the faster one) on a device.

    ``depthwise`` networks have depthwise convolutions, which are 1.6 to 2.4 times faster in float32 on CPUs, even on
    CPUs with AMX (MobileNetV2 at 16 and 32 px).
    """
    if wanted != "auto":
        return wanted
    slow = device.type == "cpu" and depthwise
    return "bfloat16" if not slow and fast_bfloat16(device) else "float32"


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """The autocast context of a training in ``bfloat16``; none in ``float32``."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Turn TF32 off: cuDNN uses it for float32 convolutions by default, with 10 bits of mantissa instead of 23."""
    parts = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)
    before = [part.fp32_precision for part in parts]
    try:
        for part in parts:
            part.fp32_precision = "ieee"
        yield
    finally:
        for part, was in zip(parts, before, strict=True):
            part.fp32_precision = was


def precision_record(device: torch.device, precision: str) -> dict[str, Any]:
    """The precision of training and of stored predictions, for ``run.json``."""
    tf32 = device.type == "cuda" and torch.backends.cudnn.conv.fp32_precision in ("tf32", "none")
    training = "float32 (convolutions in TF32)" if tf32 and precision == "float32" else precision
    return {"training": training, "predictions": "float32 (IEEE)"}


def set_threads(threads: int) -> None:
    """CPU threads of torch; 0 = torch's choice."""
    if threads:
        torch.set_num_threads(threads)


def set_determinism(deterministic: bool) -> None:
    """Make torch refuse operations without a deterministic form, so that a repeat on this machine is bit-equal."""
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # does what use_deterministic_algorithms does, which also imports torch._inductor: 0.9 s of CPU time
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    # torch would fill new memory with NaN first; we never read it before writing, and it costs up to 14 % of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = not deterministic


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in MB: of the GPU, or of the process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
