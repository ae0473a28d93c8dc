"""Sections on other evaluation sets, seed ensembles and confidence functions."""

import pandas as pd
from calibench.files import write_json
from calibench.report import decision, measures, sets
from calibench.report.experiment import open_experiment
from calibench.statistics.contrasts import COLUMNS

from tests.report.conftest import DATASET, completed
from tests.report.test_sections import said

ROW = {
    "dataset": DATASET,
    "backbone": "resnet50",
    "regime": "ols",
    "variant": "",
    "seed": 0,
    "checkpoint": "top1",
    "n": 100,
}
CONFIG = completed(
    datasets={DATASET: {"root": "nowhere"}, "b": {"root": "elsewhere", "train_on": False}},
    evaluate_on={"sites": ["b"], "corruptions": {"names": ["noise", "blur"], "severities": [3]}},
    ensembles=["none", "temperature"],
)


def written(path, rows):
    """A long table of these rows."""
    pd.DataFrame([ROW | row for row in rows]).to_csv(path, index=False)


def shifted(kind, split, family, level, value, calibrator="none", variant=""):
    found = {
        "kind": kind,
        "split": f"test@{split}",
        "family": family,
        "level": level,
        "value": value,
        "test": 0.1,
    }
    return found | {"calibrator": calibrator, "metric": "ece", "variant": variant}


def test_corruptions_of_a_severity_are_one_line_and_test_stands_first(tmp_path):
    rows = [
        shifted("site", "b", "site", None, 0.3),
        shifted("corruption", "noise3", "noise", 3, 0.2),
        shifted("corruption", "blur3", "blur", 3, 0.4),
        shifted("attack", "fgsm4", "fgsm", 4, 0.5, "temperature"),
        shifted("site", "b", "site", None, 0.9, variant="@ensemble"),
    ]
    written(tmp_path / "shift.csv", rows)
    site = {"n": 90, "common": ["1", "2"], "missing": ["3"], "unknown": {"x": 2}, "copies": 1}
    (tmp_path / DATASET / "sites").mkdir(parents=True)
    write_json(tmp_path / DATASET / "sites" / "b.json", site)
    x = open_experiment(tmp_path, {"config": CONFIG})
    found = sets.shift(x)
    raw = {row[2]: row[5] for row in found["rows"]}
    assert raw == {
        "test images": "0.1000",
        "site b": "0.3000",
        "corruptions, severity 3": "0.3000",
        "fgsm4 (FGSM, ±4)": "–",
    }
    assert found["rows"][-1][7] == "0.5000" and found["corruptions"] == 2
    text = said(x, "shift")
    assert (
        "b: 90 images of 2 classes that networks trained on RadImageNet.mini know. It has none of 3." in text
    )
    assert "2 images of other classes left out. 1 image left out that" in text and "mean of 2 kinds" in text
    assert "images of another site" not in said(x, "answer")  # they were asked about


def test_planned_comparisons_on_other_sets_leave_those_on_test_where_they_are(tmp_path):
    same = {"family": "primary", "metric": "nll", "run": "ols", "reference": "hard", "low": -1, "high": 1}
    there = {"split": "test@b", "difference": -0.2, "p_holm": 0.01, "low_holm": -0.3, "high_holm": -0.1}
    found = [same | there | {"verdict": "lower"}, same | {"split": "test", "difference": 0.1}]
    pd.DataFrame(found, columns=COLUMNS).to_csv(tmp_path / "contrasts.csv", index=False)
    x = open_experiment(tmp_path, {"config": CONFIG})
    ((_, _, _, difference, p, _, _, _, verdict, asked),) = decision.compared(x, "primary", elsewhere=True)
    assert (asked, p, verdict) == ("b", "0.010", "lower") and difference.startswith("−0.2")
    ((_, _, _, difference, *_),) = decision.compared(x, "primary")
    assert difference.startswith("+0.1")


def test_a_table_may_have_a_column_for_each_set(tmp_path):
    found = [{"variant": "", "split": s, "metric": "top1_error", "value": e} for s, e in (("test", 0.2), ("test@fgsm", 0.5))]  # fmt: skip
    written(tmp_path / "metrics.csv", found)
    layout = {"name": "attacks", "rows": "regime", "columns": "set", "measures": ["top1_error"]}
    asked = {"attacks": {"fgsm": {"method": "fgsm", "eps": 8}}}
    config = completed(tables={"layouts": [layout]}, evaluate_on=asked, seeds=[0])
    grid = measures.grid(open_experiment(tmp_path, {"config": config}), "attacks")
    assert grid.columns == ["Method", "test", "fgsm"] and grid.rows[-1] == ["OLS", "20.0", "50.0"]


def test_ensembles_stand_below_the_networks_they_are_made_of(tmp_path):
    runs = {"": 0.2, "@ensemble": 0.1, "@temperature@ensemble": 0.05}
    written(
        tmp_path / "metrics.csv",
        [{"variant": v, "split": "test", "metric": "top1_error", "value": e} for v, e in runs.items()],
    )
    apart = [{"variant": v, "split": "test", "metric": "disagreement", "value": 0.25} for v in list(runs)[1:]]
    written(tmp_path / "disagreement.csv", apart)
    x = open_experiment(tmp_path, {"config": CONFIG})
    mine = [row[2:4] + row[-1:] for row in sets.ensembles(x) if row[1] == "OLS"]
    assert mine == [["", "20.0", "–"], ["none", "10.0", "25.0"], ["temperature", "5.0", "25.0"]]
    assert "temperature each, then ensemble" in said(x, "ensembles")
    assert len(x.metrics) == 1  # tables and comparisons are without them


def test_every_confidence_function_has_a_row(tmp_path):
    rows = [{"split": s, "confidence": c, "metric": "aurc", "value": v} for s, c, v in
            [("test", "max_probability", 0.02), ("test", "margin", 0.01), ("test@b", "entropy", 0.0)]]  # fmt: skip
    written(tmp_path / "selective.csv", rows)
    x = open_experiment(tmp_path, {"config": CONFIG})
    assert [row[2:4] for row in sets.confidences(x)] == [["max_probability", "0.0200"], ["margin", "0.0100"]]
    assert "margin of the two largest" in said(x, "confidences")


def test_nothing_is_said_of_what_was_not_asked(small):
    x = open_experiment(small[0], small[1])
    assert [said(x, name) for name in ("shift", "ensembles", "confidences")] == ["", "", ""]
