"""How often conformal sets hold the true class, and how large they are: over all images, per class and per stratum."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from calibench.metrics.conformal import Sets
from calibench.metrics.strata import levels

COLUMNS = ["score", "of", "which", "metric", "value", "n"]


def coverages(
    sets: Sets, targets: np.ndarray, strata: pd.Series, codes: np.ndarray, level: float
) -> pd.DataFrame:
    """Rows of one score, columns :data:`COLUMNS`; ``of`` is ``all``, ``class`` (which: its number) or ``stratum``.

    ``coverage`` and ``size`` (mean number of classes) of each. Over all also ``coverage_groups``, in which each group
    weighs the same, which is what is promised; ``empty``, the share of sets without a class; ``class_gap``, mean over
    classes of |coverage - level| (Ding et al. 2023); and the ``threshold``, ``penalty`` and ``free`` that were used.

    Args:
        sets: of N images.
        targets: (N,).
        strata: N names, ``''`` = unknown.
        codes: (N,) group codes.
        level: what is promised.
    """
    rows = [(sets.score.name, *row) for row in _rows(sets, targets, strata, codes, level)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(
    sets: Sets, targets: np.ndarray, strata: pd.Series, codes: np.ndarray, level: float
) -> Iterator[tuple[str, str, str, float, int]]:
    n = len(targets)
    groups = np.unique(codes, return_inverse=True)[1]
    by_group = np.bincount(groups, weights=sets.covered) / np.bincount(groups)
    classes = {str(c): targets == c for c in np.unique(targets)}
    gaps = [abs(sets.covered[mask].mean() - level) for mask in classes.values()]
    values = {
        "coverage_groups": by_group.mean(),
        "empty": (sets.size == 0).mean(),
        "class_gap": np.mean(gaps),
        "threshold": sets.threshold,
        "penalty": sets.score.penalty,
        "free": sets.score.free,
    }
    yield from (("all", "", metric, float(value), n) for metric, value in values.items())
    parts = [("all", "", np.ones(n, bool)), *(("class", name, mask) for name, mask in classes.items())]
    for names in levels(strata.astype(str)).values():
        parts += [("stratum", name, (names == name).to_numpy()) for name in sorted(names.unique())]
    for of, name, mask in parts:
        yield of, name, "coverage", float(sets.covered[mask].mean()), int(mask.sum())
        yield of, name, "size", float(sets.size[mask].mean()), int(mask.sum())
