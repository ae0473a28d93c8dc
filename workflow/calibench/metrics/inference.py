"""Tests and intervals for differences between runs: paired over seeds, clustered over images, Holm over
contrasts.
"""

from dataclasses import dataclass
from math import nan, sqrt

import numpy as np

from calibench.metrics.resampling import clustered_variance


@dataclass(frozen=True)
class Difference:
    """Mean paired difference with its interval.

    ``seeds`` S, ``groups`` G; ``se_seeds`` the standard error from training again, ``se_images`` from
    drawing the test images again; ``se`` both; ``low`` and ``high`` the interval at the level asked for,
    ``p`` the two-sided p-value of no difference; both NaN with fewer than two seeds, where the regimes
    cannot be compared at all.
    """

    difference: float
    se_seeds: float
    se_images: float
    se: float
    df: float
    low: float
    high: float
    p: float
    seeds: int
    groups: int


def paired_difference(values: np.ndarray, codes: np.ndarray, level: float = 0.95) -> Difference:
    """Interval for the mean of paired per-image differences, over seeds and images.

    Args:
        values: (S, N) differences of a per-image measure, one row per seed (same seed, same images in both
        runs).
        codes: (N,) group codes of the images.
        level: coverage of the interval.

    The variance of the mean over S seeds and one test set is s²/S + v: s² the variance of the seeds' means
    on these images, v the clustered variance of the seeds' average over images (the images are shared, so
    more seeds do not shrink v). v holds the seed-by-image noise once more, so the interval errs on the wide
    side. Degrees of freedom by Satterthwaite.
    """
    from scipy.stats import t as student

    s = len(values)
    difference = float(values.mean())
    image = clustered_variance(values.mean(axis=0), codes)
    groups = len(np.unique(codes))
    if s < 2 or groups < 2:
        return Difference(
            difference, nan, sqrt(image) if groups > 1 else nan, nan, nan, nan, nan, nan, s, groups
        )
    seed = float(values.mean(axis=1).var(ddof=1)) / s
    total = seed + image
    if total == 0:  # identical predictions
        return Difference(difference, 0.0, 0.0, 0.0, nan, difference, difference, 1.0, s, groups)
    df = total**2 / (seed**2 / (s - 1) + image**2 / (groups - 1))
    half = float(student.ppf((1 + level) / 2, df)) * sqrt(total)
    p = float(2 * student.sf(abs(difference) / sqrt(total), df))
    low, high = difference - half, difference + half
    return Difference(difference, sqrt(seed), sqrt(image), sqrt(total), df, low, high, p, s, groups)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm-adjusted p-values (1979); NaN (no test possible) stays NaN and does not count."""
    p = np.asarray(p, np.float64)
    adjusted = np.full(p.shape, nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    steps = p[order] * (len(order) - np.arange(len(order)))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
