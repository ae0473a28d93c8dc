"""The stages analyse and collect on run folders."""

import os
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from calibench.errors import UserError
from calibench.metrics import measure
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
    assert rows.set_index("metric")["value"].to_dict() == expected
    assert len(table) == 3 * 3 * len(expected)


def test_torch_is_not_imported():
    code = "import sys, calibench.stages.analyse; sys.exit(bool({'torch', 'scipy', 'sklearn'} & set(sys.modules)))"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == 0


def test_an_empty_calibrate_part_is_left_out(tmp_path):
    folder = write_run(tmp_path, "hard")
    index = pd.read_csv(folder / "predictions/val.csv").assign(part="select")
    index.to_csv(folder / "predictions/val.csv", index=False)
    assert set(analyse.metrics_of(folder)["split"]) == {"select", "test"}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "predictions/test.csv").unlink(), "test.csv is missing"),
        (lambda f: (f / "predictions/nll/test.npy").unlink(), "test.npy is missing"),
        (
            lambda f: np.save(f / "predictions/nll/test.npy", np.zeros((3, 10), "f4")),
            r"shape \(3, 10\).*400 rows",
        ),
        (lambda f: (f / "predictions/nll/test.npy").write_bytes(b"\x93NUMPY"), "not a whole .npy"),
        (
            lambda f: (f / "predictions/test.csv").write_text("row,target,part\n1,0,train\n"),
            "part 'train' is none of test",
        ),
        (lambda f: (f / "predictions/test.csv").write_text("row,part\n1,test\n"), "lacks the column"),
    ],
)
def test_a_broken_run_folder_is_named(tmp_path, spoil, message):
    folder = write_run(tmp_path, "hard", n=400)
    spoil(folder)
    with pytest.raises(UserError, match=message):
        analyse.metrics_of(folder)


@pytest.mark.parametrize(("text", "message"), [("{}", "run lacks dataset"), ("{", "not JSON")])
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
    with pytest.raises(UserError, match="listed twice"):
        long.join([good, good])
    with pytest.raises(UserError, match="is missing"):
        long.join([good, tmp_path / "none.csv"])
    with pytest.raises(UserError, match="none of the runs"):
        long.join([])


def test_absent_classes_and_too_few_images_are_said(tmp_path, caplog):
    folder = write_run(tmp_path, "hard", n=10)
    table = analyse.metrics_of(folder)
    test = table[(table["split"] == "test") & (table["checkpoint"] == "top1")].set_index("metric")["value"]
    assert np.isnan(test["auroc"]) and test["absent_classes"] > 0
    said = [r.getMessage() for r in caplog.records if "(test)" in r.getMessage()]
    assert len(said) == 2 and "macro AUROC is undefined" in said[0] and "10 images for 15 bins" in said[1]
