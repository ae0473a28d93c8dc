"""The stage ensemble_seeds: probabilities averaged, calibrated first where asked, read and compared like any run."""

import numpy as np
import pandas as pd
import pytest
from calibench.calibrators import FITS
from calibench.calibrators.fold import CalibrateFold
from calibench.errors import UserError
from calibench.finished.read import read_keys, read_part
from calibench.metrics import Predictions
from calibench.stages import analyse, ensemble_seeds
from calibench.stages.contrasts import main as contrasts

from tests.finished.fake_runs import add_sets, write_run

SETS = ["test@b"]


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    runs = {(r, s): write_run(folder, r, seed=s, n=160) for r in ("hard", "ols") for s in (0, 1, 2)}
    for run in runs.values():
        add_sets(run, SETS)
    return runs


def average(members, regime, calibrator="none"):
    """Make the ensemble of a regime; its folder."""
    first = members[regime, 0]
    name = f"{regime}{'' if calibrator == 'none' else f'@{calibrator}'}@ensemble"
    folder = first.parents[1] / name / "seed0"
    records = [str(members[regime, s] / "run.json") for s in (0, 1, 2)]
    out = ["--record", str(folder / "run.json"), "--out", str(folder / "disagreement.csv")]
    ensemble_seeds.main(["--calibrator", calibrator, "--sets", *SETS, *out, *records])
    return folder


def softmaxed(folder, split="test"):
    logits, index = read_part(folder, "top1", split)
    return Predictions.of(logits, index["target"].to_numpy())


@pytest.mark.parametrize("split", ["test", "test@b", "calibrate"])
def test_probabilities_are_averaged(members, split):
    folder = average(members, "ols")
    wanted = np.mean([softmaxed(members["ols", s], split).probs for s in (0, 1, 2)], axis=0)
    assert softmaxed(folder, split).probs == pytest.approx(wanted, rel=2e-6)
    assert read_keys(folder)["variant"] == "@ensemble"


def test_each_member_is_calibrated_first(members):
    folder, wanted = average(members, "ols", "temperature"), []
    for s in (0, 1, 2):
        logits, index = read_part(members["ols", s], "top1", "calibrate")
        fitted = FITS["temperature"](CalibrateFold(logits, index["target"].to_numpy(), index["part"]))
        wanted.append(fitted.apply(read_part(members["ols", s], "top1", "test")[0]))
    assert softmaxed(folder).probs == pytest.approx(np.mean(wanted, axis=0), rel=2e-6)


def test_it_is_analysed_like_any_run_and_better_than_its_members(members, tmp_path):
    folder = average(members, "ols")
    analyse.main([str(folder / "run.json"), "--sets", *SETS, "--out-metrics", str(tmp_path / "m.csv")])
    table = pd.read_csv(tmp_path / "m.csv", keep_default_na=False)
    assert set(table["variant"]) == {"@ensemble"} and {"select", "calibrate", "test", "test@b"} == set(
        table["split"]
    )
    apart = (
        pd.read_csv(folder / "disagreement.csv")
        .query("checkpoint == 'top1'")
        .set_index(["split", "metric"])["value"]
    )
    assert (
        apart["test", "members"] == 3
        and 0 < apart["test", "disagreement"] < apart["test@b", "disagreement"] < 1
    )


def test_contrasts_name_it(members, tmp_path):
    made = [average(members, r) for r in ("hard", "ols")]
    records = [str(folder / "run.json") for folder in (*made, *members.values())]
    pairs = [["ols@ensemble", "ols"], ["ols@ensemble@temperature", "hard@ensemble"], ["ols", "hard"]]
    settings = pd.Series({"contrasts": pairs, "metrics": ["nll"]}).to_json()
    contrasts(["--settings", settings, "--sets", *SETS, "--out", str(tmp_path / "c.csv"), *records])
    table = pd.read_csv(tmp_path / "c.csv", keep_default_na=False)
    assert not table.query("family == 'best'")["run"].str.contains("@ensemble").any()
    planned = table.query("family == 'secondary' and split == 'test'").set_index("run")
    assert planned.loc["ols@ensemble", "verdict"] == "one seed" and float(planned.loc["ols", "seeds"]) == 3
    each = [softmaxed(members["ols", s]) for s in (0, 1, 2)]
    own = lambda seen: -np.log(seen.probs[np.arange(len(seen.targets)), seen.targets]).mean()  # noqa: E731
    wanted = own(softmaxed(made[1])) - np.mean([own(seen) for seen in each])
    assert float(planned.loc["ols@ensemble", "difference"]) == pytest.approx(wanted, rel=1e-5) and wanted < 0
    assert set(table["split"]) == {"test", "test@b"}
    beside = table.query("family == 'hard' and split == 'test@b' and dataset != ''").set_index("run")[
        "reference"
    ]
    assert beside["ols@ensemble"] == "hard@ensemble" and beside["ols@temperature"] == "hard@temperature"
    contrasts(["--settings", settings, "--out", str(tmp_path / "t.csv"), *records])
    alone = pd.read_csv(tmp_path / "t.csv", keep_default_na=False)  # Holm stays inside each set
    assert alone.astype(str).equals(table[table["split"] == "test"].reset_index(drop=True).astype(str))


def test_what_is_no_ensemble_is_refused(members, tmp_path):
    out = ["--record", str(tmp_path / "run.json"), "--out", str(tmp_path / "d.csv")]
    hard, ols = (str(members[r, 0] / "run.json") for r in ("hard", "ols"))
    with pytest.raises(UserError, match="at least two seeds"):
        ensemble_seeds.main([*out, hard])
    with pytest.raises(UserError, match="must differ only in the seed"):
        ensemble_seeds.main([*out, hard, ols])
