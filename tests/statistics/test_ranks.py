"""Ranks over data sets and backbones: Demšar's own example, missing runs, directions, coverage."""

import numpy as np
import pandas as pd
import pytest
from calibench.statistics.ranks import _intervals, critical_difference, ranks

# Demšar 2006, Table 6: AUC of four variants of C4.5 on 14 data sets; p. 12 and 16 give the results
TABLE6 = """
.763 .768 .771 .798|.599 .591 .590 .569|.954 .971 .968 .967|.628 .661 .654 .657|.882 .888 .886 .898
.936 .931 .916 .931|.661 .668 .609 .685|.583 .583 .563 .625|.775 .838 .866 .875|1.000 1.000 1.000 1.000
.940 .962 .965 .962|.619 .666 .614 .669|.972 .981 .9751 .975|.957 .978 .946 .970
"""
SETTINGS = {"level": 0.95, "resamples": 1000, "seed": 0}
NAMES = ["c45", "m", "cf", "both"]


def long(values, metric="auroc", names=NAMES):
    """metrics.csv of runs (columns) at places (rows)."""
    rows = [
        {
            "dataset": f"d{i}",
            "backbone": "b",
            "regime": name,
            "variant": "",
            "seed": s,
            "value": v + (s - 0.5) / 1e4,
        }
        for i, row in enumerate(values)
        for name, v in zip(names, row, strict=True)
        for s in (0, 1)
    ]
    frame = pd.DataFrame(rows).assign(split="test", checkpoint="top1", metric=metric, n=100)
    return frame


def test_demsars_example():
    values = [list(map(float, row.split())) for row in TABLE6.replace("\n", "|").strip("|").split("|")]
    found = ranks(long(values), "top1", SETTINGS).set_index("run")
    assert len(values) == 14 and (found["places"] == 14).all()
    assert found.loc[NAMES, "mean_rank"].to_list() == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    # he gives 9.28 for χ² without the correction for ties, and critical differences of 1.25 (5 %) and 1.12 (10 %)
    assert 0.01 < found["friedman_p"].iloc[0] < 0.03
    assert found["critical_difference"].iloc[0] == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14, 0.90) == pytest.approx(1.12, abs=0.005)
    assert found.loc["c45", "worst_rank"] == 4
    assert ((found["low"] < found["mean_rank"]) & (found["mean_rank"] < found["high"])).all()


def test_a_run_that_is_missing_at_a_place_takes_no_part_and_small_is_good_in_errors():
    frame = long([[1, 2, 3, 4], [1, 3, 2, 4]], "ece")
    frame = frame[~((frame["regime"] == "both") & (frame["dataset"] == "d1"))]
    found = ranks(frame, "top1", SETTINGS).set_index("run")
    assert list(found.index) == ["c45", "m", "cf"] and (found["places"] == 2).all()
    assert found["mean_rank"].to_list() == [1, 2.5, 2.5] and found["worst_rank"].to_list() == [1, 3, 3]
    assert found.loc["m", "worst_at"] == "d1, b"


def test_signed_measures_are_ranked_by_size_and_others_not_at_all():
    found = ranks(long([[-0.3, 0.1, -0.2, 0.4]], "gap"), "top1", SETTINGS).set_index("run")
    assert found["mean_rank"].to_dict() == {"c45": 3, "m": 1, "cf": 2, "both": 4}
    assert found["friedman_p"].isna().all() and found["critical_difference"].isna().all()
    assert found["low"].isna().all(), "one place says nothing of others"
    assert ranks(long([[1, 2, 3, 4]], "avg_confidence"), "top1", SETTINGS).empty
    assert ranks(long([[1, 2, 3, 4]], "ece").assign(split="select"), "top1", SETTINGS).empty


@pytest.mark.parametrize(("runs", "q"), [(2, 1.960), (3, 2.344), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_quantiles_are_those_of_the_printed_table(runs, q):
    assert critical_difference(runs, 6, 0.95) == pytest.approx(q * np.sqrt(runs * (runs + 1) / 36), abs=1e-3)


@pytest.mark.parametrize("places", [8, 20])
def test_intervals_of_mean_ranks_cover_with_few_places(rng, places):
    """Runs differ, differently at each place, and training again moves each of two seeds."""

    def values(count):
        at_place = np.array([0, 0.3, 0.6, 0.6]) + rng.normal(size=(count, 4)) * 0.5
        return at_place + rng.normal(size=(2, count, 4)).mean(axis=0) * 0.5

    def ranked(count):
        return 1 + values(count).argsort(axis=1).argsort(axis=1)

    truth, inside = ranked(200_000).mean(axis=0), []
    for seed in range(400):
        low, high = _intervals(ranked(places), {"level": 0.95, "resamples": 500, "seed": seed})
        inside.append((low <= truth) & (truth <= high))
    assert 0.92 <= np.mean(inside) <= 0.975
