"""How good a run is after each calibrator: fitted on the part `calibrate`, measured on other predictions."""

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from calibench.calibrators import FITS
from calibench.calibrators.crossvalidation import cross_validated_nll
from calibench.calibrators.fold import CalibrateFold, Calibrator
from calibench.calibrators.prior import prior
from calibench.metrics import Predictions, core
from calibench.metrics.debiased import null_band
from calibench.metrics.probabilities import softmax

log = logging.getLogger(__name__)
COLUMNS = ["split", "calibrator", "metric", "value", "n"]
WORSE = 1e-3  # nats: a rise of NLL that nobody would see in a table is none
Row = tuple[str, str, str, float, int]  # as COLUMNS
Fit = Callable[[CalibrateFold], Calibrator]


def changed_priors(before: Sequence[int], after: Sequence[int]) -> Sequence[int] | None:
    """Training images per class after sampling, where sampling changed the class frequencies; else None.

    Args:
        before: images per class, (K,), in the list.
        after: images per class, (K,), in the sample.
    """
    shift = np.abs(np.asarray(before) / np.sum(before) - np.asarray(after) / np.sum(after))
    return after if shift.max() > 1e-3 else None


def all_fits(train_counts: Sequence[int] | None) -> dict[str, Fit]:
    """Every calibrator by name; ``prior`` only where training frequencies were changed."""
    added = {} if train_counts is None else {"prior": lambda fold: prior(fold, train_counts)}
    return FITS | added


def _unmapped(_: CalibrateFold) -> Calibrator:
    return Calibrator("none", softmax)


def _rows(
    fold: CalibrateFold | None,
    logits: np.ndarray,
    targets: np.ndarray,
    train_counts: Sequence[int] | None,
    where: str,
    codes: np.ndarray | None,
) -> Iterator[Row]:
    def on_test(name: str, seen: Predictions, doubt: np.ndarray | None = None) -> dict[str, float]:
        return core(seen, f"{where}, {name}") | null_band(seen.confidence, codes, doubt)

    def each(split: str, calibrator: str, values: dict[str, float], n: int) -> Iterator[Row]:
        for metric, value in values.items():
            yield split, calibrator, metric, value, n

    raw = on_test("none", Predictions.of(logits, targets, where))
    yield from each("test", "none", raw, len(targets))
    if fold is None:
        log.warning("%s: calibrate is 0, so nothing can be fitted after training", where)
        return
    errors = int((fold.logits.argmax(axis=1) != fold.targets).sum())
    before = {"errors": errors, "nll_cv": cross_validated_nll(_unmapped, fold)}
    yield from each("calibrate", "none", before, len(fold.targets))
    for name, fit in all_fits(train_counts).items():
        calibrator = fit(fold)
        seen = Predictions.of_probs(calibrator.apply(logits), targets, f"{where}, {name}")
        after = on_test(name, seen, calibrator.doubt(logits) if calibrator.doubt else None)
        after["worse"] = float(after["nll"] > raw["nll"] + WORSE)
        cv = cross_validated_nll(fit, fold)
        judged = {} if np.isnan(cv) else {"nll_cv": cv, "worse": float(cv > before["nll_cv"] + WORSE)}
        if after["worse"] or judged.get("worse"):
            log.warning("%s: %s makes NLL worse than no map", where, name)
        yield from each("test", name, after, len(targets))
        yield from each("calibrate", name, calibrator.parameters | judged, len(fold.targets))


def after_calibration(
    fold: CalibrateFold | None,
    logits: np.ndarray,
    targets: np.ndarray,
    train_counts: Sequence[int] | None,
    where: str,
    codes: np.ndarray | None = None,
) -> pd.DataFrame:
    """Measures of :func:`calibench.metrics.core` without and after each calibrator, columns :data:`COLUMNS`.

    Rows of split ``test`` also hold the band of the ECE of a calibrated network with these confidences
    (:func:`calibench.metrics.debiased.null_band`). Rows of split ``calibrate``: fitted parameters (``temperature``, the
    ensemble's weights, ``strength`` of vector scaling); ``errors``, the number of wrong predictions there (with none, a
    temperature is not determined); ``nll_cv``, NLL in five-fold cross-validation. ``worse`` is 1 where a map raises
    NLL by more than 0.001 nats, on test or in cross-validation.

    Args:
        fold: what calibrators are fitted on; None (config: ``calibrate: 0``) gives the rows ``none`` only.
        logits: (N, K) of test.
        targets: (N,) of test.
        train_counts: training images per class, where ``prior`` is wanted.
        where: what to call the predictions in an error.
        codes: (N,) group codes of the test images.
    """
    rows = _rows(fold, logits, targets, train_counts, where, codes)
    return pd.DataFrame(list(rows), columns=COLUMNS)
