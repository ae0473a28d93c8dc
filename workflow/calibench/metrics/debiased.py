"""What is left of a binned calibration error without its sampling noise, and how much noise there is.

A perfectly calibrated model does not score ECE 0: in each bin |accuracy - confidence| is positive by chance.
The null band says how large ECE is by chance; the debiased values subtract it.
"""

from math import erf, sqrt

import numpy as np

from calibench.metrics.calibration import BINS, Bins, bin_index

NULL_DRAWS, NULL_TAILS = 400, (0.025, 0.975)  # of the ECE of a calibrated network; seeded, so runs agree


def _folded_mean(centre: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """E|X| of X ~ Normal(centre, deviation²); |centre| where the deviation is 0."""
    safe = np.where(deviation > 0, deviation, 1.0)
    z = centre / safe
    mean = safe * sqrt(2 / np.pi) * np.exp(-(z**2) / 2) + centre * np.array([erf(x / sqrt(2)) for x in z])
    return np.where(deviation > 0, mean, np.abs(centre))


def ece_debiased(bins: Bins) -> float:
    """ECE less the bias that resampling the accuracies of its bins would add (Kumar et al. 2019, sec. 5, L1).

    The mean over Normal(accuracy, accuracy (1 - accuracy) / n) is taken in closed form (folded normal), not
    by drawing. It removes part of the bias (about two fifths for a calibrated model) and may fall below 0.

    >>> import numpy as np
    >>> from calibench.metrics.calibration import reliability
    >>> bins = reliability(np.full(10, 0.9), np.arange(10) < 5)
    >>> round(ece_debiased(bins), 4)
    0.3994
    """
    filled = bins.count > 0
    count, accuracy = bins.count[filled], bins.accuracy[filled]
    gap = accuracy - bins.confidence[filled]
    drawn = _folded_mean(gap, np.sqrt(accuracy * (1 - accuracy) / count))
    return float((count * (2 * np.abs(gap) - drawn)).sum() / count.sum())


def squared_error_debiased(bins: Bins) -> float:
    """Unbiased estimate of the mean over samples of (accuracy - confidence)² of their bin.

    Kumar et al. 2019 (arXiv:1909.10155), def. 5.2. Unbiased given the confidences, so it may be negative; a
    bin with one sample cannot be corrected and adds 0.
    """
    usable = bins.count > 1
    count, accuracy = bins.count[usable], bins.accuracy[usable]
    gap = accuracy - bins.confidence[usable]
    return float((count * (gap**2 - accuracy * (1 - accuracy) / (count - 1))).sum() / bins.count.sum())


def null_distribution(
    confidence: np.ndarray,
    draws: int,
    seed: int,
    groups: np.ndarray | None = None,
    bins: int = BINS,
    batch: int = 64,
    doubt: np.ndarray | None = None,
) -> np.ndarray:
    """ECE (draws,) of a model whose confidences are exactly right: labels drawn from the predictions.

    Args:
        confidence: (N,) probability of the predicted class.
        groups: (N,) group codes 0..G-1; all samples of a group then share one uniform draw (right together, wrong
            together), the worst case for near-duplicates. None: every sample for itself.
        doubt: (N,) change of each confidence at one standard error of what it was calibrated with. Each draw then
            takes the labels from confidences + e·doubt, e standard normal: the network may be off by what the fit
            could not tell. None: the confidences are taken as exactly right.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(bin_index(confidence, bins), kind="stable")
    confidence = confidence[order].astype(np.float64)
    index = bin_index(confidence, bins)
    filled, starts = np.unique(index, return_index=True)
    expected = np.add.reduceat(confidence, starts)
    threshold = confidence.astype(np.float32)
    doubted = None if doubt is None else doubt[order].astype(np.float32)
    out = np.empty(draws)
    for first in range(0, draws, batch):
        size = min(batch, draws - first)
        if groups is None:
            uniform = rng.random((size, len(confidence)), dtype=np.float32)
        else:
            uniform = rng.random((size, int(groups.max()) + 1), dtype=np.float32)[:, groups[order]]
        if doubted is not None:  # above 1 and below 0 are as good as 1 and 0
            errors = rng.standard_normal((size, 1), dtype=np.float32)
            uniform -= errors * doubted
        right = np.add.reduceat((uniform < threshold).view(np.int8), starts, axis=1, dtype=np.int32)
        out[first : first + size] = np.abs(right - expected).sum(axis=1) / len(confidence)
    return out


def null_band(
    confidence: np.ndarray, codes: np.ndarray | None = None, doubt: np.ndarray | None = None
) -> dict[str, float]:
    """Where the ECE lies in 95 % of draws if these confidences are calibrated.

    ``ece_null_low``, ``ece_null_high``: images drawn one by one. With group codes (N,) of which some are shared also
    ``ece_null_groups_low``, ``ece_null_groups_high``: all images of a group right or wrong together, the worst case.
    ``doubt``: see :func:`null_distribution`.
    """
    grouped = codes is not None and len(np.unique(codes)) < len(codes)
    found = {}
    for name, groups in [("ece_null", None), *([("ece_null_groups", codes)] if grouped else [])]:
        low, high = np.quantile(null_distribution(confidence, NULL_DRAWS, 0, groups, doubt=doubt), NULL_TAILS)
        found |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return found
