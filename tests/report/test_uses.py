"""Sections on conformal sets, net benefit and ranks."""

import pandas as pd
from calibench.files import write_csv
from calibench.report import uses
from calibench.report.experiment import open_experiment
from calibench.statistics.ranks import COLUMNS

from tests.report.conftest import DATASET, NAMES, completed
from tests.report.test_sections import said

ROW = {
    "dataset": DATASET,
    "backbone": "resnet50",
    "regime": "ols",
    "variant": "",
    "checkpoint": "top1",
    "split": "test",
}


def test_the_lowest_class_and_stratum_are_named(small, tmp_path):
    """Means over seeds come first: no class is the worst of one lucky seed."""
    coverage = {
        ("class", "0", 0): 0.5,
        ("class", "0", 1): 0.9,
        ("class", "2", 0): 0.6,
        ("class", "2", 1): 0.6,
    }
    coverage |= {("stratum", "CT", 0): 0.8, ("all", "", 0): 0.91, ("all", "", 1): 0.89}
    rows = [ROW | {"score": "aps", "of": of, "which": name, "seed": seed, "metric": "coverage", "value": value, "n": 9}
            for (of, name, seed), value in coverage.items()]  # fmt: skip
    rows += [
        rows[-1] | {"metric": "size", "value": 1.5},
        rows[-1] | {"split": "test@b", "metric": "size", "value": 9.0},
    ]
    write_csv(pd.DataFrame(rows), tmp_path / "conformal.csv")
    x = open_experiment(tmp_path, small[1], [small[2]])
    (row,) = uses.conformal(x)
    assert row[:5] == ["ResNet-50", "OLS", "aps", "90.00", "1.50"]
    assert row[6:] == [f"60.00 ({NAMES[2]})", "80.00 (CT)"]
    assert "at least 90 % of the sets" in said(x, "conformal").replace("\xa0", " ")


def test_net_benefit_stands_below_treating_everybody(small, tmp_path):
    rows = [
        ROW
        | {
            "regime": regime,
            "seed": seed,
            "kind": "threshold",
            "at": at,
            "metric": metric,
            "value": value,
            "n": 9,
        }
        for regime in ("hard", "ols")
        for seed in (0, 1)
        for at in (0.05, 0.1, 0.11, 0.2, 0.5)
        for metric, value in {"treat_all": -at, "net_benefit": at + seed / 10}.items()
    ]
    write_csv(pd.DataFrame(rows), tmp_path / "decision.csv")
    x = open_experiment(tmp_path, {"config": completed(statistics={"positive": ["1"]})})
    found = uses.benefit(x)
    assert [row[1] for row in found] == ["everybody is treated", "Hard labels", "OLS"]
    assert found[0][2:] == ["−0.0500", "−0.1000", "−0.2000", "−0.5000"] and found[2][5] == "0.5500"
    assert "probability of a finding (1)" in said(x, "benefit")


def test_ranks_are_shown_from_eight_places_on(tmp_path):
    row = dict.fromkeys(COLUMNS, 1.5) | {
        "split": "test",
        "metric": "ece",
        "worst_at": "d3, lenet",
        "places": 8,
    }
    rows = [row | {"run": "ols", "mean_rank": 2.25}, row | {"run": "hard", "mean_rank": 1.25}]
    frame = pd.DataFrame([*rows, row | {"metric": "aurc", "run": "hard"}])

    def study(places):
        write_csv(frame.assign(places=places), tmp_path / "ranks.csv")
        return open_experiment(tmp_path, {"config": completed()})

    assert uses.ranks(study(7)) == {} and said(study(7), "ranks") == ""
    found = uses.ranks(study(8))
    assert list(found) == ["ece"] and [(r.run, r.mean_rank) for r in found["ece"]] == [
        ("hard", 1.25),
        ("ols", 2.25),
    ]
    text = said(study(8), "ranks")
    assert "d3, lenet" in text and "further apart than 1.50 differ" in text
    assert "1.25 [1.50, 1.50]" in text and "95 % interval, places drawn again with all their seeds" in text
