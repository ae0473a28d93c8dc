"""How good a run is after each calibrator: fitted on the part `calibrate`, measured on other predictions."""

import logging
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from calibench.calibrators import FITS
from calibench.calibrators.fold import CalibrateFold, Calibrator
from calibench.calibrators.prior import prior
from calibench.metrics import Predictions, core

log = logging.getLogger(__name__)
COLUMNS = ["split", "calibrator", "metric", "value", "n"]
Set = tuple[str, np.ndarray, np.ndarray]  # name of an evaluation set, logits (N, K), targets (N,)
Row = tuple[str, str, str, float, int]  # as COLUMNS


def changed_priors(before: Sequence[int], after: Sequence[int]) -> Sequence[int] | None:
    """Training images per class after sampling, where sampling changed the class frequencies; else None.

    Args:
        before: images per class, (K,), in the list.
        after: images per class, (K,), in the sample.
    """
    shift = np.abs(np.asarray(before) / np.sum(before) - np.asarray(after) / np.sum(after))
    return after if shift.max() > 1e-3 else None


def fit_all(fold: CalibrateFold, train_counts: Sequence[int] | None) -> list[Calibrator]:
    """Every calibrator, fitted; ``prior`` only where training frequencies were changed."""
    fitted = [fit(fold) for fit in FITS.values()]
    return fitted + ([prior(fold, train_counts)] if train_counts is not None else [])


def _rows(
    fold: CalibrateFold | None, sets: Iterable[Set], train_counts: Sequence[int] | None, where: str
) -> Iterator[Row]:
    def each(split: str, calibrator: str, values: dict[str, float], n: int) -> Iterator[Row]:
        for metric, value in values.items():
            yield split, calibrator, metric, value, n

    fitted = [] if fold is None else fit_all(fold, train_counts)
    for split, logits, targets in sets:
        there = f"{where} ({split})"
        yield from each(split, "none", core(Predictions.of(logits, targets, there), there), len(targets))
        for calibrator in fitted:
            named = f"{there}, {calibrator.name}"
            seen = Predictions.of_probs(calibrator.apply(logits), targets, named)
            yield from each(split, calibrator.name, core(seen, named), len(targets))
    if fold is None:
        log.warning("%s: calibrate is 0, so nothing can be fitted after training", where)
        return
    errors = int((fold.logits.argmax(axis=1) != fold.targets).sum())
    yield from each("calibrate", "none", {"errors": errors}, len(fold.targets))
    for calibrator in fitted:
        yield from each("calibrate", calibrator.name, calibrator.parameters, len(fold.targets))


def after_calibration(
    fold: CalibrateFold | None, sets: Iterable[Set], train_counts: Sequence[int] | None, where: str
) -> pd.DataFrame:
    """Measures of :func:`calibench.metrics.core` without and after each calibrator, columns :data:`COLUMNS`.

    Fitted parameters are rows of split ``calibrate`` (``temperature``, the ensemble's weights), and ``errors``, the
    number of wrong predictions there: with none, a temperature is not determined.

    Args:
        fold: what calibrators are fitted on; None (config: ``calibrate: 0``) gives the rows ``none`` only.
        sets: name, logits (N, K) and targets (N,) of each evaluation set, looked at one by one.
        train_counts: training images per class, where ``prior`` is wanted.
        where: what to call the run in an error.
    """
    return pd.DataFrame(list(_rows(fold, sets, train_counts, where)), columns=COLUMNS)
