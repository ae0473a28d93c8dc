"""Feature vectors instead of images: a store with numbers (N, D) instead of pixels."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from calibench.data.transfer import upload


class Vectors:
    """Vectors of one split, read from the memory map batch by batch; training uses them like ``Images``.

    A store may also have augmented copies of the training images: after the N rows of the index come k times the rows
    of ``train``, one complete copy after the other.

    Args:
        store: float32 (N + k·T, D), usually a memory map.
        rows: (n,), the rows of the store that belong to this split, in order.
        device: where the batches go.
        copies: rows of the augmented copies (k, n); none by default.
    """

    stored_size = 1  # there is nothing to crop
    resident = False

    def __init__(
        self, store: np.ndarray, rows: np.ndarray, device: torch.device, copies: np.ndarray | None = None
    ) -> None:
        self.store, self.rows, self.device = np.asarray(store), rows, device
        self.copies = np.empty((0, len(rows)), np.int64) if copies is None else copies

    def __len__(self) -> int:
        return len(self.rows)

    def release(self) -> None:
        """Nothing is held on the device."""

    def batch(self, positions: np.ndarray, *_crop: object) -> Tensor:
        """Vectors at ``positions`` (B,) of this split: float32 (B, D)."""
        return upload(self.store[self.rows[positions]], self.device)

    def augmented(self, positions: np.ndarray, draw: np.random.Generator) -> Tensor:
        """A random augmented copy for each of ``positions`` (B,); the plain vector if there are no copies."""
        if not len(self.copies):
            return self.batch(positions)
        chosen = draw.integers(0, len(self.copies), len(positions))
        return upload(self.store[self.copies[chosen, positions]], self.device)


def copies_of(store: np.ndarray, index: pd.DataFrame) -> np.ndarray:
    """Rows of the store with the augmented copies of the training images, (k, T), in the order of the index."""
    training = int((index["split"] == "train").sum())
    return np.arange(len(index), len(store)).reshape(-1, training)
