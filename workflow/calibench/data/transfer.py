"""Move arrays from the host to a device, where possible without waiting for the device."""

import numpy as np
import torch
from torch import Tensor

CHUNK_BYTES = 64 * 2**20  # bytes of images that are moved to the device at once


def upload(numbers: np.ndarray, device: torch.device) -> Tensor:
    """An array as a tensor on the device.

    Through pinned memory: from other memory the copy would wait until the device has finished all earlier work.
    PyTorch reuses the pinned memory only after the device has read it.
    """
    host = torch.from_numpy(numbers)
    return host if device.type == "cpu" else pinned(host).to(device, non_blocking=True)


def pinned(host: Tensor) -> Tensor:
    """A copy in pinned memory; tests replace this function on machines without a GPU."""
    return host.pin_memory()


def load_rows(store: np.ndarray, rows: np.ndarray, device: torch.device) -> Tensor:
    """Rows of a memory map (N, …) on the device; the host holds only one chunk of them at a time."""
    loaded = torch.empty((len(rows), *store.shape[1:]), dtype=torch.uint8, device=device)
    step = max(CHUNK_BYTES // int(np.prod(store.shape[1:])), 1)
    for start in range(0, len(rows), step):
        chunk = torch.from_numpy(store[rows[start : start + step]])
        loaded[start : start + step].copy_(chunk if device.type == "cpu" else pinned(chunk))
    return loaded
