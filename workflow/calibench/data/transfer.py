"""Numbers and images from the host to a device, without making the host wait where that can be had."""

import numpy as np
import torch
from torch import Tensor

CHUNK_BYTES = 64 * 2**20  # of images that are on their way to the device at once


def upload(numbers: np.ndarray, device: torch.device) -> Tensor:
    """An array as a tensor on the device.

    By way of pinned memory: from any other the host would copy at once, and wait until the device has worked off all
    that stands before the copy.
    """
    host = torch.from_numpy(numbers)
    return host if device.type == "cpu" else pinned(host).to(device, non_blocking=True)


def pinned(host: Tensor) -> Tensor:
    """A copy in memory that the device reads by itself; freed, it is not used again before the device has read it."""
    return host.pin_memory()


def load_rows(store: np.ndarray, rows: np.ndarray, device: torch.device) -> Tensor:
    """Rows of a memory map (N, …) on the device; the host holds one chunk of them at a time, besides the result."""
    loaded = torch.empty((len(rows), *store.shape[1:]), dtype=torch.uint8, device=device)
    step = max(CHUNK_BYTES // int(np.prod(store.shape[1:])), 1)
    for start in range(0, len(rows), step):
        chunk = torch.from_numpy(store[rows[start : start + step]])
        loaded[start : start + step].copy_(chunk if device.type == "cpu" else pinned(chunk))
    return loaded
