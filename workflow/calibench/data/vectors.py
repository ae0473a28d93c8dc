"""Feature vectors in the place of images: a store that holds numbers (N, D) instead of pixels."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from calibench.data.transfer import upload


class Vectors:
    """Vectors of one split, read from the memory map batch by batch: it stands where training has ``Images``.

    A store may hold augmented copies of the training images: behind the N rows of the index lie k times the rows of
    ``train``, one copy of all after the other.

    Args:
        store: float32 (N + k·T, D), usually a memory map.
        rows: which rows of the store this split has, in order (n,).
        device: where batches are wanted.
        copies: rows of the augmented copies (k, n); none by default.
    """

    stored_size = 1  # there is nothing to cut
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

    def batch(self, positions: np.ndarray, *_window: object) -> Tensor:
        """Vectors at ``positions`` (B,) of this split: float32 (B, D)."""
        return upload(self.store[self.rows[positions]], self.device)

    def augmented(self, positions: np.ndarray, draw: np.random.Generator) -> Tensor:
        """For each of ``positions`` (B,) one of its augmented copies, drawn; the plain vector where there are none."""
        if not len(self.copies):
            return self.batch(positions)
        chosen = draw.integers(0, len(self.copies), len(positions))
        return upload(self.store[self.copies[chosen, positions]], self.device)


def copies_of(store: np.ndarray, index: pd.DataFrame) -> np.ndarray:
    """Rows of the store with the augmented copies of the training images, (k, T), in the order of the index."""
    training = int((index["split"] == "train").sum())
    return np.arange(len(index), len(store)).reshape(-1, training)
