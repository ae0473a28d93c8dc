"""The report's sections on other evaluation sets and on seed ensembles, from tables as their stages write them."""

import re

import pandas as pd
import pytest
from calibench import report
from calibench.files import write_csv, write_json
from calibench.finished.names import KEYS
from calibench.planning.configuration import complete
from calibench.statistics.contrasts import COLUMNS

CONFIG = complete(
    {
        "name": "small",
        "datasets": {"a": {"root": "."}, "b": {"root": ".", "train_on": False}},
        "backbones": ["resnet50"],
        "runs": ["hard", "ols"],
        "seeds": [0, 1],
        "evaluate_on": {"sites": ["b"]},
        "ensembles": ["none"],
    }
)


def rows(columns, *found):
    return pd.DataFrame(found, columns=columns)


@pytest.fixture
def experiment(tmp_path):
    """Two seeds of two runs on test, on site b and under two corruptions, and their ensembles."""
    shift, metrics, apart = [], [], []
    for regime, error in (("hard", 0.1), ("ols", 0.2)):
        for seed in (0, 1):
            key = ("a", "resnet50", regime, "", seed)
            for split, kind, family, level, more in (
                ("test@b", "site", "site", None, 0.3),
                ("test@noise3", "corruption", "noise", 3, 0.2),
                ("test@blur3", "corruption", "blur", 3, 0.4),
            ):
                for calibrator in ("none", "temperature"):
                    shift.append(
                        (
                            *key,
                            split,
                            kind,
                            family,
                            level,
                            "top1",
                            calibrator,
                            "top1_error",
                            error + more,
                            error,
                        )
                    )
            metrics.append((*key, "test", "top1", "top1_error", error, 10))
        derived = ("a", "resnet50", regime, "@ensemble", 0, "test", "top1")
        metrics.append((*derived, "top1_error", error / 2, 10))
        apart.append((*derived, "disagreement", 0.125, 10))
    write_csv(
        rows(
            [
                *KEYS,
                "split",
                "kind",
                "family",
                "level",
                "checkpoint",
                "calibrator",
                "metric",
                "value",
                "test",
            ],
            *shift,
        ),
        tmp_path / "shift.csv",
    )
    for name, found in (("metrics", metrics), ("disagreement", apart)):
        write_csv(
            rows([*KEYS, "split", "checkpoint", "metric", "value", "n"], *found), tmp_path / f"{name}.csv"
        )
    same = {"family": "primary", "metric": "nll", "run": "ols", "reference": "hard", "low": -1, "high": 1}
    contrasts = [
        same | {"split": "test", "difference": 0.1111, "verdict": "inconclusive"},
        same | {"split": "test@b", "difference": -0.2222, "p_holm": 0.01, "low_holm": -0.3, "high_holm": -0.1, "verdict": "lower"},
    ]  # fmt: skip
    write_csv(pd.DataFrame(contrasts, columns=COLUMNS), tmp_path / "contrasts.csv")
    site = {"n": 90, "common": ["x", "y"], "missing": ["z"], "unknown": {"w": 4}, "copies": 1}
    (tmp_path / "a/sites").mkdir(parents=True)
    write_json(tmp_path / "a/sites/b.json", site)
    return report.open_experiment(tmp_path, {"config": CONFIG})


def text(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", str(html)))


def test_other_sets_stand_below_test_and_corruptions_of_a_severity_together(experiment):
    said = text(report.shift.shift(experiment))
    assert re.search(r"test images 20.00 .*site b 50.00 .*corruptions, severity 3 50.00", said)
    assert "b: 90 images of 2 classes that networks trained on a know; it has none of z" in said
    assert "4 images of other classes left out" in said and "1 image left out that" in said


def test_comparisons_on_other_sets_leave_those_on_test_where_they_are(experiment):
    here, there = text(report.comparisons.contrasts(experiment)), text(report.shift.shift(experiment))
    assert "+0.1111" in here and "0.2222" not in here
    assert "−0.2222 [−0.3000, −0.1000] 0.010 lower" in there and "0.1111" not in there


def test_an_ensemble_stands_beside_the_mean_of_its_members(experiment):
    said = text(report.ensembles.ensembles(experiment))
    assert re.search(r"OLS one network, mean 20.00 .*ensemble 10.00 .*12.50", said)
    assert not experiment.metrics["variant"].str.contains("@").any()
