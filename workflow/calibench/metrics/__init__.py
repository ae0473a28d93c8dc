"""Measures of a classifier's predictions: arrays in, numbers out (docs/metrics.md has the definitions)."""

import numpy as np

from calibench.metrics.accuracy import target_rank
from calibench.metrics.calibration import ece
from calibench.metrics.probabilities import Predictions
from calibench.metrics.proper import brier, nll

ROUNDING = 1e-9  # float64 sums of at most a few million terms stay far below this


def hold_invariant(ece_value: float, avg_confidence: float, accuracy: float, where: str = "") -> None:
    """Guo's ECE is never below |mean confidence - accuracy| on one prediction set (triangle inequality).

    Raises:
        AssertionError: if it is; then the code that computed the numbers is wrong, not the data.
    """
    gap = abs(avg_confidence - accuracy)
    if not ece_value >= gap - ROUNDING:
        raise AssertionError(f"{where}: ECE {ece_value!r} is below |confidence - accuracy| = {gap!r}")


def measure(logits: np.ndarray, targets: np.ndarray, where: str = "logits") -> dict[str, float]:
    """The measures of Tables 1 and 2 and the proper scores, all as fractions (``nll`` in nats).

    Args:
        logits: (N, K) float32.
        targets: (N,) integers in 0..K-1.
        where: what to call the predictions in an error.

    Returns:
        ``top1_error``, ``top5_error`` (k = min(5, K)), ``ece``, ``avg_confidence``, ``nll``, ``brier``.

    Raises:
        UserError: see :func:`calibench.metrics.probabilities.check`.
        AssertionError: if the ECE breaks its lower bound (:func:`hold_invariant`).
    """
    seen = Predictions.of(logits, targets, where)
    rank = target_rank(seen.logits, seen.targets)
    values = {
        "top1_error": float((rank >= 1).mean()),
        "top5_error": float((rank >= min(5, seen.logits.shape[1])).mean()),
        "ece": ece(seen.confidence, seen.correct),
        "avg_confidence": float(seen.confidence.mean()),
        "nll": nll(seen.log_probs, seen.targets),
        "brier": brier(seen.probs, seen.targets),
    }
    hold_invariant(values["ece"], values["avg_confidence"], 1 - values["top1_error"], where)
    return values
