"""How good a run is after each calibrator: fitted on the part `calibrate`, measured on other predictions."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

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
WORSE = 1e-3  # nats: a smaller rise of NLL would not be visible in a table
Row = tuple[str, str, str, float, int]  # as COLUMNS
# name of an evaluation set, what was predicted for its N images, their group codes (N,)
Set = tuple[str, Predictions, np.ndarray | None]
Fit = Callable[[CalibrateFold], Calibrator]


def changed_priors(before: Sequence[int], after: Sequence[int]) -> Sequence[int] | None:
    """Training images per class after sampling, where sampling changed the class frequencies; else None.

    Args:
        before: images per class, (K,), in the list.
        after: images per class, (K,), in the sample.
    """
    shift = np.abs(np.asarray(before) / np.sum(before) - np.asarray(after) / np.sum(after))
    return after if shift.max() > 1e-3 else None


def chosen_fits(train_counts: Sequence[int] | None, wanted: Sequence[str] | None) -> dict[str, Fit]:
    """Calibrators by name: temperature and the wanted ones (None: all); ``prior`` only where sampling changed classes."""
    added = {} if train_counts is None else {"prior": lambda fold: prior(fold, train_counts)}
    chosen = {name: fit for name, fit in FITS.items() if wanted is None or name in ("temperature", *wanted)}
    return chosen | added


def _each(split: str, calibrator: str, values: dict[str, float], n: int) -> Iterator[Row]:
    for metric, value in values.items():
        yield split, calibrator, metric, value, n


def _on_set(one: Set, fitted: dict[str, Calibrator], where: str) -> Iterator[Row]:
    """Before and after each map, on one evaluation set."""
    split, plain, codes = one
    logits, targets, where = plain.scores, plain.targets, f"{where} ({split})"
    raw = core(plain, where) | null_band(plain.confidence, codes)
    yield from _each(split, "none", raw, len(targets))
    for name, calibrator in fitted.items():
        seen = Predictions.of_probs(calibrator.apply(logits), targets, f"{where}, {name}")
        doubt = calibrator.doubt(logits) if calibrator.doubt else None
        after = core(seen, f"{where}, {name}") | null_band(seen.confidence, codes, doubt)
        after["worse"] = float(after["nll"] > raw["nll"] + WORSE)
        if after["worse"]:
            log.warning("%s: %s makes NLL worse than no map", where, name)
        yield from _each(split, name, after, len(targets))


def _on_calibrate(
    fold: CalibrateFold, fits: dict[str, Fit], fitted: dict[str, Calibrator], where: str
) -> Iterator[Row]:
    """What the maps are fitted to, and whether they help in cross-validation there."""
    errors = int((fold.logits.argmax(axis=1) != fold.targets).sum())
    before = {"errors": errors, "nll_cv": cross_validated_nll(lambda _: Calibrator("none", softmax), fold)}
    yield from _each("calibrate", "none", before, len(fold.targets))
    for name, fit in fits.items():
        own = fitted[name].parameters.get("nll_cv")  # a map that cross-validates itself does it once
        cv = cross_validated_nll(fit, fold) if own is None else own
        judged = {} if np.isnan(cv) else {"nll_cv": cv, "worse": float(cv > before["nll_cv"] + WORSE)}
        if judged.get("worse"):
            log.warning("%s: %s makes NLL worse than no map in cross-validation", where, name)
        yield from _each("calibrate", name, fitted[name].parameters | judged, len(fold.targets))


def after_calibration(
    fold: CalibrateFold | None,
    sets: Iterable[Set],
    train_counts: Sequence[int] | None,
    where: str,
    wanted: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Measures of :func:`calibench.metrics.core` without and after each calibrator, columns :data:`COLUMNS`.

    Rows of evaluation sets also hold the band of the ECE of a calibrated network with these confidences
    (:func:`calibench.metrics.debiased.null_band`). Rows of split ``calibrate``: fitted parameters (``temperature``, the
    ensemble's weights, ``strength`` of vector scaling); ``errors``, the number of wrong predictions there (with none, a
    temperature is not determined); ``nll_cv``, NLL in five-fold cross-validation. ``worse`` is 1 where a map raises
    NLL by more than 0.001 nats, on the set or in cross-validation.

    Args:
        fold: what calibrators are fitted on; None (config: ``calibrate: 0``) gives the rows ``none`` only.
        sets: evaluation sets (:data:`Set`), looked at one by one.
        train_counts: training images per class, where ``prior`` is wanted.
        where: what to call the run in an error.
        wanted: names of calibrators to fit besides temperature; None fits all.
    """
    fits = {} if fold is None else chosen_fits(train_counts, wanted)
    fitted = {name: fit(fold) for name, fit in fits.items()}
    rows = [row for one in sets for row in _on_set(one, fitted, where)]
    if fold is None:
        log.warning("%s: calibrate is 0, so nothing can be fitted after training", where)
    else:
        rows += _on_calibrate(fold, fits, fitted, where)
    return pd.DataFrame(rows, columns=COLUMNS)
