"""Measures of a classifier's predictions: arrays in, numbers out (docs/metrics.md has the definitions)."""

import logging

import numpy as np

from calibench.extensions import brought
from calibench.metrics.accuracy import target_rank
from calibench.metrics.calibration import BINS, reliability
from calibench.metrics.classwise import adaptive_error, classwise
from calibench.metrics.debiased import ece_debiased, squared_error_debiased
from calibench.metrics.discrimination import class_counts, macro_scores
from calibench.metrics.probabilities import Predictions, check_probs, mean
from calibench.metrics.proper import brier, nll
from calibench.metrics.selective import augrc, aurc, coverage_at, retention
from calibench.metrics.smooth import smooth_ece

log = logging.getLogger(__name__)
ROUNDING = 1e-9  # float64 sums of at most a few million terms stay far below this


def hold_invariant(ece_value: float, avg_confidence: float, accuracy: float, where: str = "") -> None:
    """Guo's ECE is never below |mean confidence - accuracy| on one prediction set (triangle inequality).

    Raises:
        AssertionError: if it is; then the code that computed the numbers is wrong, not the data.
    """
    gap = abs(avg_confidence - accuracy)
    if not ece_value >= gap - ROUNDING:
        raise AssertionError(f"{where}: ECE {ece_value!r} is below |confidence - accuracy| = {gap!r}")


def core(seen: Predictions, where: str = "logits") -> dict[str, float]:
    """The cheap measures, also taken per stratum and per calibrator: errors, ECE, confidence, proper scores.

    ``top1_error``, ``top5_error`` (k = min(5, K)), ``ece``, ``avg_confidence``, ``nll`` (nats), ``brier``,
    ``gap`` (mean confidence - accuracy), ``ece_debiased``.

    Raises:
        AssertionError: if the ECE breaks its lower bound (:func:`hold_invariant`).
    """
    rank = target_rank(seen.scores, seen.targets)
    bins = reliability(seen.confidence, seen.correct)
    error, confidence = float((rank >= 1).mean()), float(seen.confidence.mean())
    hold_invariant(bins.ece, confidence, 1 - error, where)
    return {
        "top1_error": error,
        "top5_error": float((rank >= min(5, seen.scores.shape[1])).mean()),
        "ece": bins.ece,
        "avg_confidence": confidence,
        "nll": nll(seen.log_probs, seen.targets),
        "brier": brier(seen.probs, seen.targets),
        "gap": confidence - (1 - error),
        "ece_debiased": ece_debiased(bins),
    }


def measure_all(seen: Predictions, where: str = "logits") -> dict[str, float]:
    """Every measure of docs/metrics.md; NaN where one is undefined (``absent_classes`` says why AUROC is).

    Last come those that other packages bring, each a function of :class:`Predictions` that returns a number.
    """
    values = core(seen, where)
    confidence, correct = seen.confidence, seen.correct
    counts = class_counts(seen.predicted, seen.targets, seen.probs.shape[1])
    each = classwise(seen.probs, seen.targets)
    present = ~np.isnan(each.auroc)
    values |= {name: float(value) for name, value in macro_scores(counts).items()}
    values |= {
        "auroc": float(each.auroc.mean()),
        "auroc_present": float(each.auroc[present].mean()) if present.any() else float("nan"),
        "absent_classes": float((counts[0] == 0).sum()),
        "squared_error_debiased": squared_error_debiased(reliability(confidence, correct)),
        "ace_top_label": adaptive_error(confidence, correct),
        "sce": float(each.sce.mean()),
        "ace": float(each.ace.mean()),
        "smooth_ece": smooth_ece(confidence, correct),
        "confidence_right": mean(confidence[correct]),
        "confidence_wrong": mean(confidence[~correct]),
        "aurc": aurc(confidence, correct),
        "augrc": augrc(confidence, correct),
        "coverage_at_5": coverage_at(confidence, correct),
    }
    values |= retention(confidence, correct)
    return values | {name: float(measured(seen)) for name, measured in brought("metrics", values).items()}


def measure(logits: np.ndarray, targets: np.ndarray, where: str = "logits") -> dict[str, float]:
    """All measures of one set of predictions, as fractions (``nll`` in nats).

    Args:
        logits: (N, K) float32.
        targets: (N,) integers in 0..K-1.
        where: what to call the predictions in an error.

    Raises:
        UserError: see :func:`calibench.metrics.probabilities.check`.
        AssertionError: if the ECE breaks its lower bound (:func:`hold_invariant`).
    """
    return measure_all(Predictions.of(logits, targets, where), where)


def warn_of_few(targets: np.ndarray, num_classes: int, where: str) -> None:
    """Log what makes some measures undefined or noisy: classes without an image, fewer images than bins."""
    absent = num_classes - len(np.unique(targets))
    if absent:
        log.warning(
            "%s: %d of %d classes have no image; macro AUROC is undefined and left empty",
            where,
            absent,
            num_classes,
        )
    if len(targets) < BINS:
        log.warning(
            "%s: %d images for %d bins; calibration errors are mostly noise", where, len(targets), BINS
        )


__all__ = ["Predictions", "check_probs", "core", "hold_invariant", "measure", "measure_all", "warn_of_few"]
