"""The stages analyse and collect on run folders."""

import os
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from calibench.calibrators import CalibrateFold, temperature
from calibench.errors import UserError
from calibench.metrics import Predictions, measure
from calibench.metrics.proper import nll
from calibench.stages import analyse, collect
from calibench.tables import long

from tests.finished.fake_runs import write_run


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("results"), "ols", "+alpha03", seed=2)


def analyse_to(out, run_dir, *options):
    """The three tables of a run, in a folder."""
    tables = [f"--out-{name}={out}/{name}.csv" for name in ("metrics", "posthoc", "strata", "warnings")]
    analyse.main([str(run_dir / "run.json"), *tables, *options])


def test_every_split_and_checkpoint_is_measured(run_dir, tmp_path):
    analyse_to(tmp_path, run_dir)
    table = pd.read_csv(tmp_path / "metrics.csv")
    assert list(table.columns) == long.METRICS
    assert not table["value"].isna().any()
    assert set(table["variant"]) == {"+alpha03"} and set(table["seed"]) == {2}
    assert dict(table.groupby("split")["n"].first()) == {"select": 200, "calibrate": 200, "test": 400}
    index = pd.read_csv(run_dir / "predictions/val.csv")
    half = (index["part"] == "calibrate").to_numpy()
    logits = np.load(run_dir / "predictions/nll/val.npy")[half]
    expected = measure(logits, index["target"].to_numpy()[half])
    rows = table[(table["split"] == "calibrate") & (table["checkpoint"] == "nll")]
    found = rows.set_index("metric")["value"].to_dict()
    assert {name: found[name] for name in expected} == expected
    # on the images that the temperature is fitted on, what it leaves is the least there is
    tempered = CalibrateFold(logits, index["target"].to_numpy()[half], index["part"][half])
    after = Predictions.of_probs(temperature(tempered).apply(logits), tempered.targets)
    assert found["nll_refinement"] == pytest.approx(nll(after.log_probs, after.targets), rel=1e-9)
    assert found["nll_refinement"] + found["nll_calibration"] == pytest.approx(found["nll"])
    assert len(table) == 3 * 3 * len(found)


def test_torch_is_not_imported():
    code = "import sys, calibench.stages.analyse; sys.exit(bool({'torch', 'scipy', 'sklearn'} & set(sys.modules)))"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == 0


def test_an_empty_calibrate_part_is_left_out(tmp_path):
    folder = write_run(tmp_path, "hard")
    index = pd.read_csv(folder / "predictions/val.csv").assign(part="select")
    index.to_csv(folder / "predictions/val.csv", index=False)
    assert set(analyse.metrics_of(analyse.Asked(folder))["split"]) == {"select", "test"}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "predictions/test.csv").unlink(), "test.csv is missing"),
        (lambda f: (f / "predictions/nll/test.npy").unlink(), "test.npy is missing"),
        (
            lambda f: np.save(f / "predictions/nll/test.npy", np.zeros((3, 10), "f4")),
            r"shape \(3, 10\).*400 rows",
        ),
        (lambda f: (f / "predictions/nll/test.npy").write_bytes(b"\x93NUMPY"), "not a complete .npy"),
        (
            lambda f: (f / "predictions/test.csv").write_text("row,target,part\n1,0,train\n"),
            "part 'train' is not one of test",
        ),
        (lambda f: (f / "predictions/test.csv").write_text("row,part\n1,test\n"), "has no column"),
    ],
)
def test_a_broken_run_folder_is_named(tmp_path, spoil, message):
    folder = write_run(tmp_path, "hard", n=400)
    spoil(folder)
    with pytest.raises(UserError, match=message):
        analyse.metrics_of(analyse.Asked(folder))


@pytest.mark.parametrize(("text", "message"), [("{}", "run has no dataset"), ("{", "not JSON")])
def test_a_broken_record_is_named(tmp_path, text, message):
    folder = write_run(tmp_path, "hard", n=40)
    (folder / "run.json").write_text(text)
    with pytest.raises(UserError, match=message):
        analyse_to(tmp_path, folder)


def test_collect_joins_500_tables_quickly(run_dir, tmp_path):
    analyse_to(tmp_path, run_dir)
    text = (tmp_path / "metrics.csv").read_text()
    paths = [tmp_path / f"{i}.csv" for i in range(500)]
    for path in paths:
        path.write_text(text)
    start = time.perf_counter()
    collect.main(["--out", str(tmp_path / "all.csv"), *map(str, paths)])
    assert time.perf_counter() - start < 2
    assert len(pd.read_csv(tmp_path / "all.csv")) == 500 * (len(text.splitlines()) - 1)


def test_collect_refuses_what_does_not_fit(tmp_path):
    good, other = tmp_path / "a.csv", tmp_path / "b.csv"
    good.write_text("x,y\n1,2")
    other.write_text("x,z\n1,2\n")
    assert long.join([good]) == "x,y\n1,2\n"
    with pytest.raises(UserError, match="other columns"):
        long.join([good, other])
    with pytest.raises(UserError, match="given twice"):
        long.join([good, good])
    with pytest.raises(UserError, match="is missing"):
        long.join([good, tmp_path / "none.csv"])
    with pytest.raises(UserError, match="none of the runs"):
        long.join([])


def test_absent_classes_and_too_few_images_are_said(tmp_path, caplog):
    folder = write_run(tmp_path, "hard", n=10)
    table = analyse.metrics_of(analyse.Asked(folder))
    test = table[(table["split"] == "test") & (table["checkpoint"] == "top1")].set_index("metric")["value"]
    assert np.isnan(test["auroc"]) and test["absent_classes"] > 0
    said = [r.getMessage() for r in caplog.records if "(test)" in r.getMessage()]
    assert len(said) == 2 and "macro AUROC is undefined" in said[0] and "10 images for 15 bins" in said[1]


def test_conformal_sets_net_benefit_and_votes_of_a_run(tmp_path):
    folder = write_run(tmp_path, "hard", n=400, k=4)
    (tmp_path / "classes.csv").write_text("target,label\n0,a\n1,b\n2,c\n3,d\n")
    votes = np.full((9400, 4), np.nan)  # by row of the store; the test images are rows 9000 to 9399
    targets = pd.read_csv(folder / "predictions/test.csv")["target"].to_numpy()
    votes[9000:9400] = 5 * np.eye(4)[targets]
    np.save(tmp_path / "votes.npy", votes)
    options = [f"--out-{name}={tmp_path / name}.csv" for name in ("conformal", "decision")]
    options += [f"--votes={tmp_path / 'votes.npy'}", f"--classes={tmp_path / 'classes.csv'}"]
    analyse_to(tmp_path, folder, *options, "--settings", '{"positive": ["b", "d"]}')
    sets = pd.read_csv(tmp_path / "conformal.csv", keep_default_na=False)
    assert list(sets.columns) == long.CONFORMAL and set(sets["score"]) == {"lac", "aps", "raps"}
    covered = (
        sets[(sets["metric"] == "coverage") & (sets["score"] == "lac")].set_index("of")["value"].astype(float)
    )
    assert 0.85 < covered["all"] < 0.97 and len(covered["class"]) == 4
    assert set(sets[sets["of"] == "stratum"]["which"]) == {"CT", "US", "CT/abd", "US/liver"}
    decided = pd.read_csv(tmp_path / "decision.csv")
    assert list(decided.columns) == long.DECISION
    share = np.isin(targets, [1, 3]).mean()
    least = decided[(decided["metric"] == "treat_all") & (decided["at"] == 0.5)]["value"].item()
    assert least == pytest.approx(2 * share - 1)
    table = pd.read_csv(tmp_path / "metrics.csv")
    on_test = table[(table["split"] == "test") & (table["checkpoint"] == "top1")].set_index("metric")["value"]
    assert on_test["ce_human"] == pytest.approx(on_test["nll"]) and "kl_human" in on_test
    with pytest.raises(UserError, match="positive: 'e' is not a class"):
        analyse_to(tmp_path, folder, *options, "--settings", '{"positive": ["e"]}')
