"""What may be concluded from a difference, and how many seeds it would take to conclude more."""

from math import inf, nan

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from calibench.statistics.paired import Difference

POWER = 0.8
MOST_SEEDS = 1000


def verdict(
    difference: Difference, p: float, interval: tuple[float, float], alpha: float, relevant: float | None
) -> str:
    """One word for one row.

    ``one seed``: no backbone was trained twice, so nothing is known of training again; ``no test``: one group of
    images; ``lower`` or ``higher``: adjusted p at most ``alpha``; ``equivalent``: the whole interval is nearer to 0
    than the relevant difference; ``inconclusive``: all else.
    """
    if difference.untested:
        return difference.untested
    if p <= alpha + 1e-12:
        return "lower" if difference.mean < 0 else "higher"
    inside = relevant is not None and -relevant < interval[0] and interval[1] < relevant
    return "equivalent" if inside else "inconclusive"


def non_inferior(difference: Difference, interval: tuple[float, float], relevant: float | None) -> str:
    """Is the run at most the relevant difference worse (higher)? ``yes``, ``no``, ``unclear``; empty without a test."""
    if relevant is None or not difference.testable:
        return ""
    low, high = interval
    return "yes" if high < relevant else "no" if low > relevant else "unclear"


def seeds_needed(difference: Difference, relevant: float | None, alpha: float) -> float:
    """Seeds per backbone with which a true difference of ``relevant`` would be found in 80 % of studies.

    The seed part shrinks with the number of blocks, the image part does not: ``inf`` means that no number of seeds
    (up to 1000) is enough and more test images are needed. The variances are those seen, so with few seeds this is a
    rough number.

    Args:
        difference: what was seen.
        relevant: the difference to find; None gives NaN.
        alpha: two-sided level of the test, divided by the number of tests of its family.
    """
    if relevant is None or not difference.testable:
        return nan
    seeds = np.arange(2, MOST_SEEDS + 1)
    blocks = seeds * difference.cells
    seed = difference.seed * difference.blocks / blocks
    image = max(0.0, float(difference.image - difference.both))
    quantiles = [student.isf(alpha / 2, part.groups - 1) for part in difference.parts]
    half = np.sqrt(student.isf(alpha / 2, blocks - 1) ** 2 * seed + max(quantiles) ** 2 * image)
    enough = half + norm.ppf(POWER) * np.sqrt(seed + image) <= relevant
    return float(seeds[enough.argmax()]) if enough.any() else inf
