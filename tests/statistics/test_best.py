"""Multiple comparisons with the best: the true best is kept, the intervals hold together."""

import numpy as np
import pytest
from calibench.statistics.best import from_best
from calibench.statistics.paired import Blocks, Difference


def study(rng, truth, seeds=3, groups=60, training=0.05, image=0.2):
    """Rows of one study of the runs `a`, `b`, …: trainings differ, images are shared by all."""
    names, cells = list("abcdefgh"[: len(truth)]), np.repeat([0, 1], seeds)
    shared = rng.normal(0, 1, groups)
    values = {
        name: mean
        + shared
        + rng.normal(0, training, (len(cells), 1))
        + rng.normal(0, image, (len(cells), groups))
        for name, mean in zip(names, truth, strict=True)
    }
    sizes = np.ones(groups)
    return from_best(names, lambda x, y: Difference([Blocks(values[x] - values[y], sizes, cells)]), 0.95)


def share(rng, truth, studies):
    """How often the true best is kept, and how often all intervals hold at once."""
    truth, kept, held = np.array(truth), 0, 0
    best = int(truth.argmin())
    for _ in range(studies):
        rows = study(rng, truth, seeds=2)
        kept += rows[best].verdict in ("best", "may be best")
        true = [truth[i] - np.delete(truth, i).min() for i in range(len(truth))]
        held += all(r.low - 1e-12 <= t <= r.high + 1e-12 for r, t in zip(rows, true, strict=True))
    return kept / studies, held / studies


@pytest.mark.parametrize("truth", [[0, 0, 0, 0], [0, 0.05, 0.05, 0.3]])
def test_the_best_is_lost_in_at_most_5_of_100_studies(truth):
    """A test against the lowest mean would lose one of four equal runs more often."""
    kept, held = share(np.random.default_rng(1), truth, 150)
    assert kept >= 0.93 and held >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("runs", [2, 4, 7])
def test_the_best_is_kept_in_many_studies(runs):
    kept, held = share(np.random.default_rng(runs), [0.0] * runs, 2000)
    print(f"{runs} equal runs: kept {100 * kept:.1f} %, all intervals hold {100 * held:.1f} %")
    assert kept >= 0.945 and held >= 0.945


def test_what_is_clearly_worse_is_not_best_and_the_intervals_are_constrained():
    rows = study(np.random.default_rng(2), [0.0, 2.0, 2.1])
    assert [row.verdict for row in rows] == ["best", "not best", "not best"]
    assert rows[0].reference == "b" and rows[0].high == 0 and rows[0].low < -1.5
    assert rows[1].reference == "a" and rows[1].low == 0 < rows[1].difference < rows[1].high


def test_equal_predictions_are_both_candidates_and_one_seed_has_no_verdict():
    sizes = np.ones(5)
    same = Difference([Blocks(np.zeros((2, 5)), sizes, np.zeros(2, int))])
    assert {row.verdict for row in from_best(["a", "b"], lambda x, y: same, 0.95)} == {"may be best"}
    single = Difference([Blocks(np.arange(5.0)[None], sizes, np.zeros(1, int))])
    assert all(
        row.verdict == "one seed" and np.isnan(row.low)
        for row in from_best(["a", "b"], lambda x, y: single, 0.95)
    )
    assert from_best(["a"], lambda x, y: same, 0.95) == [] == from_best(["a", "b"], lambda x, y: None, 0.95)
