"""The stages resample and contrasts on run folders, and the measures of strata."""

import json

import numpy as np
import pandas as pd
import pytest
from calibench.errors import UserError
from calibench.metrics import measure, strata
from calibench.planning.configuration import statistics_settings
from calibench.stages import contrasts as contrasts_stage
from calibench.stages import resample
from calibench.statistics import contrasts, intervals
from calibench.tables import long

from tests.finished.fake_runs import write_run
from tests.stages.test_analyse import analyse_to

PLANNED = statistics_settings('{"contrasts": [["ols", "hard"]]}')


def records(*folders):
    return [str(folder / "run.json") for folder in folders]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("results")
    return [write_run(base, regime, seed=seed) for regime in ("hard", "ls", "ols") for seed in (0, 1, 2)]


def test_resample_gives_intervals_and_null_bands(folders, tmp_path):
    out = tmp_path / "i.csv"
    resample.main(["--settings", '{"resamples": 200}', "--out", str(out), *records(folders[0], folders[4])])
    table = pd.read_csv(out, keep_default_na=False, na_values={c: [""] for c in ("low", "high", "value")})
    assert list(table.columns)[-len(intervals.COLUMNS) :] == intervals.COLUMNS and set(table["groups"]) == {
        100
    }
    drawn = table[table["kind"] == "interval"]
    inner = drawn[drawn["metric"] != "ece"]
    assert (inner["low"] < inner["value"]).all() and (inner["value"] < inner["high"]).all()
    assert drawn.loc[drawn["metric"] == "ece", ["low", "high"]].isna().all(axis=None)
    null = table[table["metric"] == "ece"].set_index(["regime", "kind"])["value"]
    assert null["hard", "null_groups"] > null["hard", "null"] > 0
    index = pd.read_csv(folders[0] / "predictions/test.csv")
    expected = measure(np.load(folders[0] / "predictions/top1/test.npy"), index["target"].to_numpy())
    point = drawn[drawn["regime"] == "hard"].set_index("metric")["value"]
    for name in ("nll", "brier", "gap", "ece", "f1", "auroc", "top5_error"):
        assert point[name] == pytest.approx(expected[name])


def test_contrasts_name_what_differs(folders, tmp_path):
    settings = {"contrasts": [["ls", "hard"], ["ols", "ls"], ["ls", "hard@temperature"], ["ols", "none"]]}
    out = tmp_path / "c.csv"
    contrasts_stage.main(["--settings", json.dumps(settings), "--out", str(out), *records(*folders)])
    table = pd.read_csv(out)
    assert list(table.columns) == contrasts.COLUMNS
    keys = ["run", "reference", "metric"]
    planned = table[table["family"] == "primary"].set_index(keys).sort_index()
    # the contrast that lacks a run is left out; two are planned once more, tempered, without their Top-1 error
    assert len(planned) == 3 * 4 + 2 * 3 and planned["dataset"].isna().all()
    # same logits but for their scale: hard's are sharper, its ECE and NLL differ, its errors do not
    assert planned.loc[("ls", "hard", "ece"), "verdict"] in ("higher", "lower")
    assert planned.loc[("ols", "ls", "top1_error"), "verdict"] == "inconclusive"
    assert planned.loc[("ls@temperature", "hard@temperature", "ece"), "verdict"] == "inconclusive"
    assert (planned["p_holm"] >= planned["p"]).all() and set(planned["seeds"]) == {3}
    assert (planned["low_holm"] <= planned["low"]).all() and (planned["high_holm"] >= planned["high"]).all()
    beside = (planned["low_holm"] > 0) | (planned["high_holm"] < 0)  # interval and verdict are one statement
    assert (beside == planned["verdict"].isin(["lower", "higher"])).all()
    row = planned.loc[("ls", "hard", "nll")]
    values = [
        measure(
            np.load(f / "predictions/top1/test.npy"),
            pd.read_csv(f / "predictions/test.csv")["target"].to_numpy(),
        )
        for f in folders
    ]
    by_hand = np.mean([v["nll"] for v in values[3:6]]) - np.mean([v["nll"] for v in values[:3]])
    assert row["difference"] == pytest.approx(by_hand)
    assert row["low"] < by_hand < row["high"] and row["relevant"] == 0.02 and row["seeds_needed"] >= 2
    each = table[table["family"] == "secondary"].set_index(keys).sort_index()
    one_place = [
        "difference",
        "low_holm",
        "high_holm",
        "p_holm",
    ]  # one backbone: the same question, the same answer
    pd.testing.assert_frame_equal(each[one_place], planned[one_place])
    best = table[(table["family"] == "best") & (table["metric"] == "nll") & (table["backbone"] == "resnet50")]
    assert len(best) == 6 and set(best["verdict"]) <= {"best", "may be best", "not best"}
    beside = table[table["family"] == "hard"].set_index([*keys, "dataset"])
    assert beside.loc[("ls", "hard", "nll", "digits"), "difference"] == pytest.approx(by_hand)
    assert ("ls@temperature", "hard@temperature", "ece", "digits") in beside.index and beside[
        "p"
    ].isna().all()


def test_contrasts_are_pooled_over_backbones_and_data_sets(tmp_path, caplog):
    """Blocks are data set x backbone x seed; a data set without a calibrate part takes no part in tempered rows."""
    places = [("digits", "resnet50"), ("digits", "vgg19_bn"), ("other", "resnet50")]
    runs = [
        write_run(tmp_path, regime, seed=seed, n=120, dataset=dataset, backbone=backbone)
        for dataset, backbone in places
        for regime in ("hard", "ols")
        for seed in (0, 1)
    ]
    for folder in runs:
        if "other" in str(folder):
            index = pd.read_csv(folder / "predictions/val.csv").assign(part="select")
            index.to_csv(folder / "predictions/val.csv", index=False)
    table = contrasts.compare(runs, "top1", PLANNED | {"metrics": ["nll"]})
    nll = table.set_index(["family", "run", "dataset", "backbone"])
    pooled = nll.loc[("primary", "ols", "", "")]
    each = [nll.loc[("secondary", "ols", *place), "difference"] for place in places]
    assert pooled["difference"] == pytest.approx(np.mean(each))
    assert (pooled["blocks"], pooled["seeds"], pooled["groups"]) == (6, 2, 60)
    assert nll.loc[("primary", "ols@temperature", "", ""), "blocks"] == 4
    assert ("best", "ols@temperature", "digits", "resnet50") in nll.index
    assert ("best", "ols@temperature", "other", "resnet50") not in nll.index
    raw = statistics_settings('{"contrasts": [["ols", "hard"]], "tempered": false}')
    assert not contrasts.compare(runs[:4], "top1", raw)["run"].str.contains("@").any()


def test_one_seed_is_said_to_conclude_nothing(folders):
    table = contrasts.compare([folders[0], folders[6]], "top1", PLANNED)
    tested = table[table["family"].isin(["primary", "secondary"])]
    assert set(table["verdict"]) == {"one seed"} and table["p"].isna().all()
    assert tested[["low", "high"]].notna().all(axis=None)  # of the draw of images, for these networks
    assert table.loc[table["family"] == "best", ["low", "high"]].isna().all(axis=None)


def test_runs_on_other_images_are_not_compared(tmp_path):
    first, second = write_run(tmp_path, "hard"), write_run(tmp_path, "ols")
    index = pd.read_csv(second / "predictions/test.csv")
    index.assign(row=index["row"] + 1).to_csv(second / "predictions/test.csv", index=False)
    with pytest.raises(UserError, match="tested on other images or labels"):
        contrasts.compare([first, second], "top1", PLANNED)
    index.assign(target=(index["target"] + (index.index == 3)) % 10).to_csv(
        second / "predictions/test.csv", index=False
    )
    with pytest.raises(
        UserError, match="tested on other images or labels"
    ):  # the same rows, one label mended
        contrasts.compare([first, second], "top1", PLANNED)


def test_test_images_of_one_patient_have_no_intervals(tmp_path):
    runs = [write_run(tmp_path, regime, seed=s) for regime in ("hard", "ols") for s in (0, 1)]
    for folder in runs:
        index = pd.read_csv(folder / "predictions/test.csv")
        index.assign(group="one").to_csv(folder / "predictions/test.csv", index=False)
    settings = statistics_settings('{"resamples": 50}')
    table = resample.resample_run(runs[0], "top1", settings)
    interval = table[table["kind"] == "interval"]
    assert interval["value"].notna().any() and interval[["low", "high", "se"]].isna().all(axis=None)
    compared = contrasts.compare(runs, "top1", PLANNED)
    assert set(compared["verdict"]) == {"no test"} and compared["low"].isna().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ('{"contrasts": [["ols"]]}', "statistics.contrasts.0"),
        ('{"metrics": ["sce"]}', "statistics.metrics.0: 'sce' is not one of nll, ece"),
        ('{"resamples": 5}', "statistics.resamples"),
        ('{"level": 95}', "statistics.level"),
        ('{"relevant": {"ece": 0}}', "statistics.relevant.ece"),
        ('{"relevant": {"gap": 0.1}}', "statistics.relevant"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        statistics_settings(settings)


def test_strata_are_measured_and_the_worst_is_marked(folders, tmp_path):
    analyse_to(tmp_path, folders[0])
    table = pd.read_csv(tmp_path / "strata.csv")
    assert list(table.columns) == long.STRATA
    assert set(table["stratum"]) == {"CT", "US", "CT/abd", "US/liver"}
    index = pd.read_csv(folders[0] / "predictions/test.csv")
    mask = (index["stratum"] == "CT/abd").to_numpy()
    logits = np.load(folders[0] / "predictions/top1/test.npy")[mask]
    row = table[(table["stratum"] == "CT/abd") & (table["metric"] == "brier")].iloc[0]
    assert row["value"] == pytest.approx(measure(logits, index["target"].to_numpy()[mask])["brier"])
    errors = table[(table["metric"] == "nll") & (table["level"] == 1)].set_index("stratum")
    assert errors["worst"].sum() == 1 and errors["value"].idxmax() == errors["worst"].idxmax()
    right = table[(table["metric"] == "balanced_accuracy") & (table["level"] == 1)].set_index("stratum")
    assert right["worst"].sum() == 1 and right["value"].idxmin() == right["worst"].idxmax()
    assert set(measure(logits, index["target"].to_numpy()[mask])) <= set(table["metric"])
    band = table[(table["level"] == 1)].pivot(index="stratum", columns="metric", values="value")
    assert (band["ece_null_low"] < band["ece_null_high"]).all()
    assert (band["ece_null_high"] < 0.2).all()


def test_anatomies_are_joined_over_modalities():
    found = strata.levels(pd.Series(["CT/knee", "MR/knee", "MR/hip", ""]))
    assert found[1].tolist() == ["CT", "MR", "MR", "unknown"] and found[2].iloc[3] == "unknown"
    assert found[3].tolist() == ["*/knee", "*/knee", "*/hip", "*/unknown"]
    assert 3 not in strata.levels(pd.Series(["CT/knee", "MR/hip"]))


def test_one_stratum_gives_an_empty_table(tmp_path):
    folder = write_run(tmp_path, "hard")
    index = pd.read_csv(folder / "predictions/test.csv").assign(stratum="")
    index.to_csv(folder / "predictions/test.csv", index=False)
    analyse_to(tmp_path, folder)
    assert pd.read_csv(tmp_path / "strata.csv").empty


def test_a_single_run_is_compared_with_itself_after_temperature_scaling(folders, tmp_path):
    contrasts_stage.main(["--out", str(tmp_path / "c.csv"), *records(folders[0])])
    table = pd.read_csv(tmp_path / "c.csv")
    assert set(table["family"]) == {"hard", "best"} and list(table.columns) == contrasts.COLUMNS
    contrasts_stage.main(
        ["--settings", '{"tempered": false}', "--out", str(tmp_path / "c.csv"), *records(folders[0])]
    )
    table = pd.read_csv(tmp_path / "c.csv")
    assert table.empty and list(table.columns) == contrasts.COLUMNS
