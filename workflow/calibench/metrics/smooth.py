"""Smooth calibration error: no bins, so no bin edges to argue about (Błasiok & Nakkiran 2023,
arXiv:2309.12236).
"""

import numpy as np

GRID = 4096  # cells on [0, 1]; finer than the smallest width below by a factor of 4
SMALLEST = 1e-3


def smooth_ece(confidence: np.ndarray, correct: np.ndarray) -> float:
    """smECE at its own bandwidth: the σ at which the error smoothed with width σ equals σ (their def. 3).

    The Gaussian is reflected at 0 and 1, which a circular convolution of the mirrored residuals does exactly.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) bool.
    """
    cell = np.minimum((confidence * GRID).astype(np.int64), GRID - 1)
    residual = np.bincount(cell, weights=confidence - correct, minlength=GRID) / len(confidence)
    spectrum = np.fft.rfft(np.concatenate([residual, residual[::-1]]))
    frequency = np.pi * np.arange(len(spectrum))  # the mirrored signal has period 2

    def smoothed(width: float) -> float:
        kernel = np.exp(-((frequency * width) ** 2) / 2)
        return float(np.abs(np.fft.irfft(spectrum * kernel, 2 * GRID)[:GRID]).sum())

    low, high = SMALLEST, 1.0
    if smoothed(low) <= low:
        return smoothed(low)
    for _ in range(30):  # the smoothed error falls with the width: bisect to float precision of the grid
        middle = (low + high) / 2
        low, high = (middle, high) if smoothed(middle) > middle else (low, middle)
    return smoothed(high)
