"""How good a map is on validation images that it was not fitted on, without touching the test set."""

from collections.abc import Callable, Iterator

import numpy as np

from calibench.calibrators.fold import CalibrateFold, Calibrator
from calibench.metrics.probabilities import Predictions

MOST = 5000  # images: with more the answer does not change, with 165 classes the time does


def splits(fold: CalibrateFold, parts: int) -> Iterator[tuple[CalibrateFold, CalibrateFold]]:
    """Yield (fitted on, judged on) ``parts`` times; groups stay whole. Nothing if there are fewer groups than parts.

    Of more than :data:`MOST` images some are drawn, group by group. The order is drawn from a fixed seed.
    """
    groups, codes = np.unique(fold.groups, return_inverse=True)
    turn = np.random.default_rng(0).permutation(len(groups))[codes]
    last = np.sort(turn)[min(MOST, len(turn)) - 1]
    part = np.where(turn <= last, turn % parts, -1)
    if min(len(groups), last + 1) < parts:
        return
    for held in range(parts):
        yield fold.rows((part >= 0) & (part != held)), fold.rows(part == held)


def nll_each(calibrator: Calibrator, fold: CalibrateFold) -> np.ndarray:
    """NLL (N,) of each row after a map."""
    seen = Predictions.of_probs(calibrator.apply(fold.logits), fold.targets, fold.where)
    return -seen.log_probs[np.arange(len(fold.targets)), fold.targets]


def cross_validated_nll(
    fit: Callable[[CalibrateFold], Calibrator], fold: CalibrateFold, parts: int = 5
) -> float:
    """Mean NLL over images that each map was not fitted on; NaN where the fold is too small to cut."""
    found = [nll_each(fit(fitted), judged) for fitted, judged in splits(fold, parts)]
    return float(np.concatenate(found).mean()) if found else float("nan")
