"""Smooth calibration error: no bins, so no bin edges to argue about (Błasiok & Nakkiran 2023,
arXiv:2309.12236).
"""

import numpy as np

GRID = 4096  # cells on [0, 1]; finer than the smallest width below by a factor of 4
SMALLEST = 1e-3


class _Smoother:
    """Smooths values (N,) at their confidences with a Gaussian that is reflected at 0 and 1.

    A circular convolution of the mirrored values does that exactly.
    """

    def __init__(self, confidence: np.ndarray, values: np.ndarray) -> None:
        cell = np.minimum((confidence * GRID).astype(np.int64), GRID - 1)
        mean = np.bincount(cell, weights=values, minlength=GRID) / len(confidence)
        self.spectrum = np.fft.rfft(np.concatenate([mean, mean[::-1]]))
        self.frequency = np.pi * np.arange(len(self.spectrum))  # the mirrored signal has period 2

    def __call__(self, width: float) -> np.ndarray:
        """(GRID,) for a standard deviation ``width``; sums to the mean of the values."""
        kernel = np.exp(-((self.frequency * width) ** 2) / 2)
        return np.fft.irfft(self.spectrum * kernel, 2 * GRID)[:GRID]


def smooth_ece(confidence: np.ndarray, correct: np.ndarray) -> float:
    """smECE at its own bandwidth: the σ at which the error smoothed with width σ equals σ (their def. 3).

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) bool.

    >>> import numpy as np
    >>> round(smooth_ece(np.full(100, 0.9), np.arange(100) < 50), 3)
    0.4
    """
    residual = _Smoother(confidence, confidence - correct)

    def smoothed(width: float) -> float:
        return float(np.abs(residual(width)).sum())

    low, high = SMALLEST, 1.0
    if smoothed(low) <= low:
        return smoothed(low)
    for _ in range(30):  # the smoothed error falls with the width: bisect to float precision of the grid
        middle = (low + high) / 2
        low, high = (middle, high) if smoothed(middle) > middle else (low, middle)
    return smoothed(high)


def smooth_reliability(confidence: np.ndarray, correct: np.ndarray) -> tuple[np.ndarray, ...]:
    """The curve of a smooth reliability diagram: Σ K(t, c)·correct / Σ K(t, c) at the bandwidth of smECE.

    As in the authors' package relplot, without its bootstrap.

    Returns:
        Confidences t (4096,), the accuracy at each, and about how many images are nearer than the bandwidth: where
        these are few, the accuracy is theirs alone.
    """
    width = max(smooth_ece(confidence, correct), SMALLEST)
    right, all_images = _Smoother(confidence, correct)(width), _Smoother(confidence, correct >= 0)(width)
    accuracy = np.clip(right / np.maximum(all_images, 1e-12), 0, 1)
    return (np.arange(GRID) + 0.5) / GRID, accuracy, all_images * len(confidence) * 2 * width * GRID
