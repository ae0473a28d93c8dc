"""Measures of every class against the rest, all from one sort per class: AUROC, SCE and ACE.

SCE and ACE follow Nixon et al. 2019 (arXiv:1904.01685, eq. 3 and 5): all samples count in every class; SCE
has equal-width bins, ACE ranges of equal mass with weight 1/R, R = 15. LS+'s "ACE" is the *top-label* error
of :func:`adaptive_error` on confidences: both are given, named apart.
"""

from dataclasses import dataclass

import numpy as np

from calibench.metrics.calibration import BINS
from calibench.metrics.probabilities import blocks


@dataclass(frozen=True)
class Classwise:
    """One value per class, each (K,): ``auroc`` (NaN if a class or its rest is empty), ``sce``, ``ace``."""

    auroc: np.ndarray
    sce: np.ndarray
    ace: np.ndarray


def by_class(probs: np.ndarray) -> np.ndarray:
    """(K, N) copy of (N, K), block by block: a plain transpose misses the cache on every read."""
    out = np.empty(probs.shape[::-1])
    for rows in blocks(len(probs), 1024):
        out[:, rows] = probs[rows].T
    return out


def classwise(probs: np.ndarray, targets: np.ndarray, bins: int = BINS) -> Classwise:
    """Score each class against the rest. ``probs`` (N, K) float64, ``targets`` (N,).

    >>> import numpy as np
    >>> each = classwise(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]))
    >>> each.auroc
    array([1., 1.])
    """
    n, k = probs.shape
    columns = by_class(probs)
    order = np.argsort(targets, kind="stable")
    starts = np.searchsorted(targets[order], np.arange(k + 1))
    out = np.empty((3, k))
    for c in range(k):
        values = np.sort(columns[c])
        own = columns[c][order[starts[c] : starts[c + 1]]]
        left, right = np.searchsorted(values, own, "left"), np.searchsorted(values, own, "right")
        below = np.concatenate([[0.0], np.cumsum(values)])
        out[0, c] = _auroc(left, right, np.sort(own), own, n)
        inner = np.searchsorted(
            values, np.arange(1, bins) / bins, "right"
        )  # of bins (a, b]; 0 is in the first
        out[1, c] = _gaps(np.concatenate([[0], inner, [n]]), left, right, below).sum() / n
        edges = mass_edges(n, bins)
        out[2, c] = (_gaps(edges, left, right, below) / np.diff(edges)).mean()
    return Classwise(*out)


def _auroc(left: np.ndarray, right: np.ndarray, own_sorted: np.ndarray, own: np.ndarray, n: int) -> float:
    """Mann-Whitney: the chance that a member outranks a non-member, ties counting half."""
    members, others = len(own), n - len(own)
    if not members or not others:
        return float("nan")
    among = np.searchsorted(own_sorted, own, "left") + np.searchsorted(own_sorted, own, "right")
    return float(((left + right) - among).sum() / 2 / members / others)


def mass_edges(n: int, ranges: int) -> np.ndarray:
    """Positions 0..n cutting ``n`` sorted samples into ``ranges`` whose sizes differ by at most 1 (n if
    fewer).
    """
    ranges = min(ranges, n)
    return np.arange(ranges + 1) * n // ranges


def _gaps(edges: np.ndarray, left: np.ndarray, right: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Per range |hits - sum of probabilities|; a block of ties over an edge is shared out evenly."""
    share = np.clip((edges[:, None] - left) / np.maximum(right - left, 1), 0, 1).sum(axis=1)
    return np.abs(np.diff(share) - np.diff(below[edges]))


def adaptive_error(confidence: np.ndarray, correct: np.ndarray, ranges: int = BINS) -> float:
    """Top-label calibration error with ranges of equal mass (what the LS+ paper calls ACE).

    Mean over ranges of |accuracy - mean confidence|; with fewer samples than ranges each sample is its own.

    >>> import numpy as np
    >>> round(adaptive_error(np.array([0.6, 0.8]), np.array([True, True])), 6)
    0.3
    """
    values = np.sort(confidence)
    own = confidence[correct]
    left, right = np.searchsorted(values, own, "left"), np.searchsorted(values, own, "right")
    edges = mass_edges(len(values), ranges)
    below = np.concatenate([[0.0], np.cumsum(values)])
    return float((_gaps(edges, left, right, below) / np.diff(edges)).mean())
