"""How good a map is on validation images that it was not fitted on, without touching the test set."""

from collections.abc import Callable, Iterator

import numpy as np

from calibench.calibrators.fold import CalibrateFold, Calibrator
from calibench.metrics.probabilities import Predictions

MOST = 5000  # images: with more the answer does not change, with 165 classes the time does


def _turns(fold: CalibrateFold) -> tuple[np.ndarray, int]:
    """Place (N,) of each row's group in an order drawn from a fixed seed, and the number of groups."""
    groups, codes = np.unique(fold.groups, return_inverse=True)
    return np.random.default_rng(0).permutation(len(groups))[codes], len(groups)


def _last(turn: np.ndarray, most: int) -> int:
    """The last group that is taken, so that hardly more than ``most`` images are."""
    return int(np.sort(turn)[min(most, len(turn)) - 1])


def sampled(fold: CalibrateFold, most: int) -> CalibrateFold:
    """The fold, or hardly more than ``most`` of its images, whole groups, drawn from a fixed seed."""
    turn = _turns(fold)[0]
    return fold if len(turn) <= most else fold.rows(turn <= _last(turn, most))


def splits(fold: CalibrateFold, parts: int) -> Iterator[tuple[CalibrateFold, CalibrateFold]]:
    """Yield (fitted on, judged on) ``parts`` times; groups stay whole. Nothing if there are fewer groups than parts.

    Of more than :data:`MOST` images some are drawn, group by group. The order is drawn from a fixed seed.
    """
    turn, groups = _turns(fold)
    last = _last(turn, MOST)
    part = np.where(turn <= last, turn % parts, -1)
    if min(groups, last + 1) < parts:
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
