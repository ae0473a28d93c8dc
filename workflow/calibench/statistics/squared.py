"""The squared calibration error without its bias, and an interval for it where images of a group depend on each other.

With U = correct - confidence, p_b the share of images in bin b and m_b the mean of U there, the truth is
θ = Σ_b p_b·m_b². Products of U of *different* groups are free of bias; what a group shares with itself says nothing of m_b².
arXiv 2408.08998 has the estimate and a normal interval for independent images. With groups, and near θ = 0, where the
estimate is far from normal, this interval is what a test of each θ leaves over.
"""

from dataclasses import dataclass

import numpy as np

from calibench.metrics.calibration import BINS, bin_index

FAR = 2  # standard errors from 0 at which a test of θ has two equal tails
TINY = 1e-100  # instead of 0 below a division


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

    The interval holds each θ that the estimate does not speak against (:class:`_Spread`). As θ cannot be negative, the
    test of 0 looks at large estimates only; its lower tail grows to half of the error at two standard errors from 0
    (as Feldman and Cousins 1998 go over from one side to two). A bin with one group holds no pair and adds 0.

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
    spread = _Spread(sums, sizes, pairs, value, float((g - 1) * without.var()))
    return Squared(value, *spread.interval(1 - level), spread.se)


class _Spread:
    """How far the estimate may lie from θ.

    Two parts make its variance: that of a calibrated network, v₀ = 2 Σ_{g≠h} (Σ_b w_b·S_gb·S_hb)² with S the sums of U
    in group and bin and w_b = p_b over the pairs in b, and a linear part that grows with θ. v₀ and the third cumulant
    are taken as seen (which is right at θ = 0) and without the bins' means (at the estimate), and between these in
    proportion. The jackknife counts v₀ twice (Efron and Stein 1981).

    Args:
        sums: (G, B) sums of U.
        sizes: (G, B) numbers of images.
        pairs: (B,) ordered pairs of images of different groups.
        value: the estimate.
        jackknife: its variance by leaving groups out.
    """

    def __init__(
        self, sums: np.ndarray, sizes: np.ndarray, pairs: np.ndarray, value: float, jackknife: float
    ) -> None:
        count = sizes.sum(axis=0)
        safe, mean = np.maximum(count, 1), sums.sum(axis=0) / np.maximum(count, 1)
        share = count / count.sum()
        weights = np.sqrt(np.where(pairs > 0.5, share / np.maximum(pairs, 1), 0))
        own = 1 - sizes / safe  # a group also moves the mean of its bin
        apart = (sums - sizes * mean) / np.sqrt(np.where(own > 0, own, 1))
        self.value, self.groups = value, len(sums)
        self.at_zero, self.at_value = _cumulants(sums * weights), _cumulants(apart * weights)
        plugged = max(float(share @ mean**2), TINY)
        influence = 2 * apart @ mean + sizes @ mean**2 - plugged * sizes.sum(axis=1)
        whole = max(jackknife - self.at_value[0], 0.0)
        self.growth = max(float((influence**2).sum()) / count.sum() ** 2, whole) / plugged
        self.se = float(np.sqrt(max(whole, self.at_value[0])))

    def _deviation(self, theta: float) -> tuple[float, float]:
        """Standard deviation and skewness of the estimate; the linear part is taken as symmetric."""
        variance, third = self.at_zero + (self.at_value - self.at_zero) * min(
            1.0, theta / max(self.value, TINY)
        )
        variance = max(variance, 0.0) + self.growth * theta + TINY
        return np.sqrt(variance), max(third, 0.0) / variance**1.5

    def interval(self, error: float) -> tuple[float, float]:
        """Lowest and highest θ that a test with this error keeps."""
        from scipy.optimize import brentq
        from scipy.stats import norm, pearson3, t

        few = t.isf(error / 2, self.groups - 1) / norm.isf(error / 2)
        zero = float(np.sqrt(max(self.at_zero[0], TINY)))

        def below(theta: float) -> float:
            return error / 2 * min(1.0, theta / (FAR * zero))

        def too_high(theta: float) -> float:
            deviation, skew = self._deviation(theta)
            return self.value - theta - few * deviation * pearson3.isf(error - below(theta), skew)

        def too_low(theta: float) -> float:  # the shorter tail, taken as normal
            return theta - few * self._deviation(theta)[0] * norm.isf(below(theta)) - self.value

        low = brentq(too_high, 0.0, self.value) if too_high(0.0) > 0 else 0.0
        first = max(self.value, 1e-9 * zero)
        high = first + zero
        while too_low(high) < 0:
            high *= 2
        return low, brentq(too_low, first, high)


def _cumulants(sums: np.ndarray) -> np.ndarray:
    """Second and third cumulant of Σ_{g≠h} s_g·s_h, from (G, B) sums s that are already weighted."""
    square, own = sums.T @ sums, (sums**2).sum(axis=1)
    along = np.einsum("gb,bc,gc->g", sums, square, sums, optimize=True)
    triples = (square @ square * square).sum() - 3 * own @ along + 2 * (own**3).sum()
    return np.array([2 * ((square**2).sum() - (own**2).sum()), 8 * triples])


def _of_pairs(
    total: np.ndarray, squares: np.ndarray, count: np.ndarray, pairs: np.ndarray, n: np.ndarray | int
) -> np.ndarray:
    """Σ_b (n_b/N)·(mean product of U over pairs of different groups), over the last axis."""
    safe = np.where(pairs > 0.5, pairs, 1.0)
    return (np.where(pairs > 0.5, count / n * (total**2 - squares) / safe, 0.0)).sum(axis=-1)
