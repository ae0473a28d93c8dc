"""The squared calibration error without its bias, and an interval for it where images of a group depend on each other.

With U = correct - confidence, p_b the share of images in bin b and m_b the mean of U there, the truth is
θ = Σ_b p_b·m_b². Products of U of *different* groups are free of bias; what a group shares with itself says nothing of m_b².
arXiv 2408.08998 has the estimate and a normal interval for independent images. Two things are added for groups: the
standard error is the jackknife's over groups, and the upper end allows for the spread growing with θ.
"""

from dataclasses import dataclass

import numpy as np

from calibench.metrics.calibration import BINS, bin_index


@dataclass(frozen=True)
class Squared:
    """``value``: the estimate, which may be negative; ``low``, ``high``: its interval; ``se``: its standard error."""

    value: float
    low: float
    high: float
    se: float


def squared_error(
    confidence: np.ndarray, correct: np.ndarray, codes: np.ndarray, level: float, bins: int = BINS
) -> Squared:
    """Estimate and interval of the squared binned calibration error; without groups the estimate of arXiv 2408.08998.

    The lower end is value - t·se, at least 0, t of G - 1 degrees of freedom. The upper end is the θ at which the value
    lies t standard errors too low, their square being se² + v·(θ - value): v·θ is the variance of the estimate's linear
    part (for independent images σ² of the paper, over N). A bin with one group holds no pair and adds 0.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) bool.
        codes: (N,) group codes.
        level: of the interval.
        bins: of equal width.

    Returns:
        NaN for all but the value with one group.
    """
    groups, inverse = np.unique(codes, return_inverse=True)
    n, g = len(confidence), len(groups)
    place = inverse * bins + bin_index(confidence, bins)
    sums = np.bincount(place, weights=correct - confidence, minlength=g * bins).reshape(g, bins)
    sizes = np.bincount(place, minlength=g * bins).reshape(g, bins).astype(np.float64)
    total, squares, count = sums.sum(axis=0), (sums**2).sum(axis=0), sizes.sum(axis=0)
    pairs = count**2 - (sizes**2).sum(axis=0)
    value = float(_of_pairs(total, squares, count, pairs, n))
    if g < 2:
        return Squared(value, np.nan, np.nan, np.nan)
    without = _of_pairs(
        total - sums,
        squares - sums**2,
        count - sizes,
        pairs - 2 * sizes * (count - sizes),
        (n - sizes.sum(axis=1))[:, None],
    )
    variance = float((g - 1) * without.var())
    growth = _linear_variance(sums, sizes)
    from scipy.stats import t as student

    quantile = float(student.isf((1 - level) / 2, g - 1))
    at_zero = max(variance - growth * max(value, 0.0), 0.0)
    half = quantile**2 * growth / 2
    high = value + half + np.sqrt(half**2 + quantile**2 * max(at_zero + growth * value, 0.0))
    low = value - quantile * np.sqrt(variance)
    return Squared(value, max(low, 0.0), max(float(high), 0.0), float(np.sqrt(variance)))


def _of_pairs(
    total: np.ndarray, squares: np.ndarray, count: np.ndarray, pairs: np.ndarray, n: np.ndarray | int
) -> np.ndarray:
    """Σ_b (n_b/N)·(mean product of U over pairs of different groups), over the last axis."""
    safe = np.where(pairs > 0.5, pairs, 1.0)
    return (np.where(pairs > 0.5, count / n * (total**2 - squares) / safe, 0.0)).sum(axis=-1)


def _linear_variance(sums: np.ndarray, sizes: np.ndarray) -> float:
    """Clustered variance of the estimate's linear part, over θ; (G, B) sums of U and numbers of images."""
    g, count = len(sums), sizes.sum(axis=0)
    mean = sums.sum(axis=0) / np.maximum(count, 1)
    theta = float((count * mean**2).sum() / count.sum())
    influence = 2 * sums @ mean - sizes @ mean**2 - theta * sizes.sum(axis=1)
    return float((influence**2).sum() / count.sum() ** 2 * g / (g - 1) / theta) if theta > 0 else 0.0
