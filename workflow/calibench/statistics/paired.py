"""Tests and intervals for differences between runs: paired over seeds, clustered over images, Holm over contrasts."""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log, nan, sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.stats import t as student
from statsmodels.stats.multitest import multipletests

from calibench.statistics.resampling import clustered_variance


@dataclass(frozen=True)
class Difference:
    """Mean paired difference with its interval.

    ``seeds`` S, ``groups`` G; ``se_seeds`` the standard error from training again, ``se_images`` from
    drawing the test images again; ``low`` and ``high`` the interval at the level asked for,
    ``p`` the two-sided p-value of no difference; both NaN with fewer than two seeds, where the regimes
    cannot be compared at all.
    """

    difference: float
    se_seeds: float
    se_images: float
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

    The difference is a sum of two independent parts: what training again changes (variance s²/S on these
    images, S - 1 degrees of freedom) and what drawing the images again changes (v, clustered, G - 1). Their
    t half-widths add in squares (Zou & Donner 2008, MOVER). It is exact where one part dominates and wide in
    between. Satterthwaite's degrees of freedom would not do: two seeds that agree by chance would count as
    knowledge of all seeds (13 % false rejections at 5 %, p values of 1e-100).
    v holds the seed-by-image noise once more, which errs on the wide side as well.
    """
    s = len(values)
    difference = float(values.mean())
    image = clustered_variance(values.mean(axis=0), codes)
    groups = len(np.unique(codes))
    if s < 2 or groups < 2:
        seen = sqrt(image) if groups > 1 else nan
        return Difference(difference, nan, seen, nan, nan, nan, s, groups)
    seed = float(values.mean(axis=1).var(ddof=1)) / s
    if seed + image == 0:  # identical predictions
        return Difference(difference, 0.0, 0.0, difference, difference, 1.0, s, groups)

    def half_width(tail: float) -> float:
        return sqrt(student.isf(tail, s - 1) ** 2 * seed + student.isf(tail, groups - 1) ** 2 * image)

    half = half_width((1 - level) / 2)
    p = _two_sided(half_width, abs(difference))
    low, high = difference - half, difference + half
    return Difference(difference, sqrt(seed), sqrt(image), low, high, p, s, groups)


def _two_sided(half_width: Callable[[float], float], distance: float) -> float:
    """Twice the tail at which the interval just reaches ``distance``; not below 2e-100."""
    if distance == 0:
        return 1.0
    least = log(1e-100)
    if half_width(exp(least)) <= distance:
        return 2e-100
    return 2 * exp(brentq(lambda x: half_width(exp(x)) - distance, least, log(0.5), xtol=1e-9))


def holm(p: np.ndarray) -> np.ndarray:
    """Holm-adjusted p-values (1979); NaN (no test possible) stays NaN and does not count."""
    p = np.asarray(p, np.float64)
    adjusted, tested = np.full(p.shape, nan), ~np.isnan(p)
    if tested.any():
        adjusted[tested] = multipletests(p[tested], method="holm")[1]
    return adjusted
