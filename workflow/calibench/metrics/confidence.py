"""Four numbers that may say how sure a network is of its prediction, and how well each finds the errors.

A low confidence is to point to a wrong prediction; which number of the logits is called confidence is a choice. Label
smoothing harms the usual one, the largest probability; normalised logits repair it (arXiv 2403.14715).
"""

import numpy as np

from calibench.metrics.probabilities import Predictions, blocks
from calibench.metrics.selective import aurc, coverage_at, retention

NORMS = range(10)
NAMES = ("max_probability", "max_logit", "margin", "entropy")


def max_logit(logits: np.ndarray, norm: int) -> np.ndarray:
    """Largest centred logit over the p-norm of all of them (N,), p = ``norm`` (arXiv 2305.15508); p = 0: not divided.

    Args:
        logits: (N, K); adding a number to all logits of a row changes nothing.
        norm: p.
    """
    centred = np.asarray(logits, np.float64)
    centred = centred - centred.mean(axis=1, keepdims=True)
    largest = centred.max(axis=1)
    if norm == 0:
        return largest
    scale = np.maximum(np.abs(centred).max(axis=1), np.finfo(np.float64).tiny)  # a power of 9 would overflow
    length = (np.abs(centred / scale[:, None]) ** norm).sum(axis=1) ** (1 / norm)
    return np.divide(largest / scale, length, out=np.zeros(len(length)), where=length > 0)


def best_norm(seen: Predictions) -> int | None:
    """The p in 0..9 with the smallest AURC on these predictions; None where none beats the largest probability.

    To be chosen on the part `calibrate`. The smallest of equals is taken.
    """
    areas = [aurc(max_logit(seen.scores, p), seen.correct) for p in NORMS]
    best = int(np.argmin(areas))
    return best if areas[best] < aurc(seen.confidence, seen.correct) else None


def confidences(seen: Predictions, norm: int | None) -> dict[str, np.ndarray]:
    """Each function of :data:`NAMES` (N,); larger is surer.

    Args:
        seen: logits of N images.
        norm: p of ``max_logit``; None puts the largest probability there.
    """
    return {
        "max_probability": seen.confidence,
        "max_logit": seen.confidence if norm is None else max_logit(seen.scores, norm),
        "margin": _margin(seen.probs),
        "entropy": np.einsum("nk,nk->n", seen.probs, seen.log_probs),
    }


def _margin(probs: np.ndarray) -> np.ndarray:
    """Largest less second largest probability (N,), block by block: a sorted copy of all would go through memory."""
    out = np.empty(len(probs))
    for rows in blocks(len(probs)):
        first = np.partition(probs[rows], -2, axis=1)
        out[rows] = first[:, -1] - first[:, -2]
    return out


def selective(seen: Predictions, norm: int | None) -> dict[str, dict[str, float]]:
    """Function → ``aurc``, ``coverage_at_5``, ``r_auc``, ``r_auc_normalised`` (= 2·AUROC of the errors - 1)."""
    return {
        name: {
            "aurc": aurc(values, seen.correct),
            "coverage_at_5": coverage_at(values, seen.correct),
            **retention(values, seen.correct),
        }
        for name, values in confidences(seen, norm).items()
    }
