"""Which runs may be the best of a column: Hsu's multiple comparisons with the best (1984; 1996, ch. 4).

To test every run against the one with the lowest mean would choose the reference from the same data. Here the
question is, for every run, how far it lies from the best of the others, and the answer holds for all at once: the runs
that are called `may be best` hold the true best with the asked probability.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from calibench.statistics.paired import Difference


@dataclass(frozen=True)
class FromBest:
    """``difference``: from the best of the others (``reference``); ``low``, ``high``: its constrained interval."""

    run: str
    reference: str
    difference: float
    low: float
    high: float
    verdict: str


def from_best(
    names: list[str], compare: Callable[[str, str], Difference | None], level: float
) -> list[FromBest]:
    """Every run against the best of the others; smaller is better.

    With θ the true means, b the best, d and h the pairwise differences and their one-sided half-widths: all
    θ_b - θ_j ≥ d_bj - h_bj at once with probability ``level`` (Bonferroni over the k - 1 others, right for any
    dependence). From these follow (Edwards & Hsu 1983) the candidates, i with d_ij ≤ h_ij for all j, and the intervals
    of θ_i - min θ_j: from min(0, max_j (d_ij - h_ij)) to max(0, max of d_ij + h_ij over the other candidates j).

    Args:
        names: k runs.
        compare: difference of two runs; None where they have no training in common.
        level: probability that all intervals hold.
    """
    k = len(names)
    if k < 2:
        return []
    tail = (1 - level) / max(
        k - 1, 2
    )  # the t test over unequal blocks is not safe above half of 8.3 % (paired.py)
    d, h = np.full((k, k), np.nan), np.full((k, k), np.nan)
    untested = ""
    for i, j in combinations(range(k), 2):
        found = compare(names[i], names[j])
        if found is not None:
            untested = untested or found.untested
            d[i, j], h[i, j] = found.mean, found.half_width(tail)
            d[j, i], h[j, i] = -d[i, j], h[i, j]
    known = np.flatnonzero(~np.isnan(d).all(axis=1))
    # how far i lies from the best of the others, at least
    least = (
        {i: float(np.nanmax(d[i] - h[i])) for i in known} if not untested else dict.fromkeys(known, np.nan)
    )
    candidates = [i for i in known if least[i] <= 1e-12]
    rows = []
    for i in known:
        reference = int(np.nanargmax(d[i]))
        most = max((d[i, j] + h[i, j] for j in candidates if j != i and not np.isnan(d[i, j])), default=0.0)
        word = "not best" if i not in candidates else "best" if len(candidates) == 1 else "may be best"
        found = (np.nan, np.nan, untested) if untested else (min(0.0, least[i]), max(0.0, most), word)
        rows.append(FromBest(names[i], names[reference], float(d[i, reference]), *found))
    return rows
