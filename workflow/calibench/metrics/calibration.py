"""Top-label calibration with one convention (Guo et al. 2017, arXiv:1706.04599, eq. 3), written down.

M = 15 equal-width bins (a, b], the first closed at 0; the *mean* confidence of a bin,
not its midpoint; float64. Confidence exactly 1.0 belongs to the last bin (some libraries give it one more).
On one set of predictions this ECE is never below |mean confidence - accuracy|.
"""

from dataclasses import dataclass

import numpy as np

BINS = 15


def bin_index(confidence: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Bin (0..bins-1) of each confidence, bins (a, b] of equal width on [0, 1]; 0 falls into the first."""
    inner = np.arange(1, bins) / bins  # compared, never multiplied: an edge value must not move by rounding
    return np.searchsorted(inner, confidence, side="left")


@dataclass(frozen=True)
class Bins:
    """Per bin, each (M,): ``count``, mean ``confidence`` and ``accuracy`` (0 where the bin is empty)."""

    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def ece(self) -> float:
        """Expected calibration error: mean over samples of |accuracy - confidence| of their bin."""
        return float((self.count * np.abs(self.accuracy - self.confidence)).sum() / self.count.sum())


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> Bins:
    """Bin (N,) confidences in [0, 1] and (N,) booleans for a reliability diagram."""
    index = bin_index(confidence, bins)
    count = np.bincount(index, minlength=bins)
    filled = np.maximum(count, 1)
    return Bins(
        count=count,
        confidence=np.bincount(index, weights=confidence, minlength=bins) / filled,
        accuracy=np.bincount(index, weights=correct, minlength=bins) / filled,
    )


def ece(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> float:
    """Top-label expected calibration error as a fraction; {0.95 right, 1.0 wrong} gives 0.475.

    >>> import numpy as np
    >>> ece(np.array([0.95, 1.0]), np.array([True, False]))
    0.475
    """
    return reliability(confidence, correct, bins).ece
