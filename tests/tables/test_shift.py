"""shift.csv: every measure of every evaluation set beside the same run's on test."""

import json

import pandas as pd
import pytest
from calibench.errors import UserError
from calibench.figures.shift import MEAN, places, points
from calibench.finished.sets import evaluation_sets
from calibench.planning.configuration import evaluation_settings
from calibench.stages import analyse, collect, figure, shift

from tests.finished.fake_runs import add_sets, write_run

WANTED = {
    "sites": ["b"],
    "corruptions": {"names": ["noise", "blur"], "severities": [1, 3]},
    "attacks": {"fgsm4": {"method": "fgsm", "eps": 4}},
}
SETS = evaluation_sets(evaluation_settings(json.dumps(WANTED)), ["b"])


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Records of four runs, and the folder with metrics.csv, posthoc.csv, selective.csv and shift.csv."""
    folder = tmp_path_factory.mktemp("results")
    runs = [write_run(folder, regime, seed=seed, n=120) for regime in ("hard", "ols") for seed in (0, 1)]
    tables = ("metrics", "posthoc", "selective", "strata", "warnings")
    for run in runs:
        add_sets(run, list(SETS))
        outs = [f"--out-{name}={run}/{name}.csv" for name in tables]
        analyse.main([str(run / "run.json"), *outs, "--sets", *SETS])
    for name in tables:
        collect.main(["--out", str(folder / f"{name}.csv"), *(str(run / f"{name}.csv") for run in runs)])
    inputs = [f"--{name}={folder}/{name}.csv" for name in ("metrics", "posthoc")]
    shift.main([*inputs, "--settings", json.dumps(WANTED), "--out", str(folder / "shift.csv")])
    return [str(run / "run.json") for run in runs], folder


def read(folder, name="shift"):
    return pd.read_csv(folder / f"{name}.csv", keep_default_na=False, na_values={"level": [""]})


def test_sets_are_named_and_described():
    assert list(SETS) == [f"test@{n}" for n in ("b", "noise1", "noise3", "blur1", "blur3", "fgsm4")]
    assert SETS["test@noise3"] == {"kind": "corruption", "family": "noise", "seed": 0, "level": 3}
    assert SETS["test@fgsm4"]["steps"] == 1 and SETS["test@fgsm4"]["step_size"] == 4


def test_every_set_is_measured_and_set_beside_test(experiment):
    _, folder = experiment
    table, metrics = read(folder), read(folder, "metrics")
    assert set(table["split"]) == set(SETS) and set(metrics["split"]) == {
        *SETS,
        "select",
        "calibrate",
        "test",
    }
    assert set(metrics.loc[metrics["split"].isin(list(SETS)), "checkpoint"]) == {"top1"}
    row = table.query(
        "regime == 'ols' and seed == 1 and split == 'test@blur3' and metric == 'ece' and calibrator == 'none'"
    )
    wanted = (
        metrics.query("regime == 'ols' and seed == 1 and checkpoint == 'top1' and metric == 'ece'")
        .set_index("split")["value"]
        .astype(float)
    )
    assert row["difference"].astype(float).item() == pytest.approx(wanted["test@blur3"] - wanted["test"])
    assert (row["family"].item(), row["level"].item(), row["kind"].item()) == ("blur", 3, "corruption")


def test_a_temperature_is_carried_over_not_fitted_again(experiment):
    _, folder = experiment
    posthoc = read(folder, "posthoc")
    fitted = posthoc[posthoc["metric"] == "temperature"]
    assert set(fitted["split"]) == {"calibrate"} and len(fitted) == 4 * 2  # the ensemble has the same one
    tempered = read(folder).query("calibrator == 'temperature'")
    assert set(tempered["split"]) == set(SETS)


def test_strata_and_selective_measures_name_the_set(experiment):
    _, folder = experiment
    for name in ("strata", "selective"):
        assert {*SETS, "test"} <= set(read(folder, name)["split"])


def test_the_figure_is_the_same_bytes_twice(experiment, tmp_path):
    records, folder = experiment
    drawn = []
    for name in ("a", "b"):
        options = ["--out", str(tmp_path / f"{name}.png"), "--out-pdf", str(tmp_path / f"{name}.pdf")]
        figure.main(["shift", "--shift", str(folder / "shift.csv"), *options, *records])
        drawn.append([(tmp_path / f"{name}.{kind}").read_bytes() for kind in ("png", "pdf")])
    assert drawn[0] == drawn[1] and len(drawn[0][0]) > 20_000


def test_what_the_figure_shows(experiment):
    _, folder = experiment
    found = points(read(folder).assign(run=lambda frame: frame["regime"]))
    assert set(found["family"]) == {"site", "noise", "blur", "fgsm", MEAN}
    mean, noise, blur = (
        found.query("family == @f and run == 'ols' and seed == 0 and metric == 'ece'").set_index("x")["value"]
        for f in (MEAN, "noise", "blur")
    )
    assert list(mean.index) == [0, 1, 3] and mean[3] == pytest.approx((noise[3] + blur[3]) / 2)
    assert mean[0] == noise[0] == blur[0]
    assert len(places(found)) == 3 * 5
    many = pd.concat([found.replace("blur", f"kind{i}") for i in range(4)])
    assert places(many)[9:] == [
        ("corruption", "noise", "ece"),
        *(("corruption", f"kind{i}", "ece") for i in range(4)),
    ]


def test_runs_that_are_not_in_the_table_are_told(experiment, tmp_path):
    records, folder = experiment
    part = read(folder).query("regime == 'hard'")
    part.to_csv(tmp_path / "shift.csv", index=False)
    with pytest.raises(UserError, match="has no rows of"):
        figure.main(
            ["shift", "--shift", str(tmp_path / "shift.csv"), "--out", str(tmp_path / "f.png"), *records]
        )
