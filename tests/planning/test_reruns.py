"""What an edit reaches, by the settings that Snakemake compares, and what of finished runs is kept or refused."""

import os

import pytest
from calibench.errors import UserError
from calibench.files import read_json, sha256_of, write_json, write_text
from calibench.finished import names
from calibench.planning import configuration, protection
from calibench.planning.plan import Plan

from tests.workflow.conftest import MINI

DIGITS = MINI["datasets"]["digits"]
STAGES = ("list", "audit", "sample", "store")
LISTS = ("train.csv", "val.csv", "test.csv")


def plan(**changes):
    return Plan(configuration.complete({**MINI, "protect": True, **changes}))


@pytest.fixture(autouse=True)
def finished(tmp_path, monkeypatch):
    """The working directory has the store and the runs of MINI, finished by another version of the code."""
    monkeypatch.chdir(tmp_path)
    made = plan()
    for file in LISTS:
        write_text(f"results/data/digits/{file}", "filename,label\n0.png,digit-4\n")
    store = tmp_path / made.store_dir("digits")
    for file in ("images.npy", "index.csv", "classes.csv", "list.csv", "sample.csv"):
        write_text(store / file, "digit-4\n")
    inputs = {f"results/data/digits/{file}": sha256_of(f"results/data/digits/{file}") for file in LISTS}
    for stage, file in protection.STORE_RECORDS.items():
        write_json(store / file, {"code": f"then {stage}", "inputs": inputs})
    for run in made.all_runs:
        settings = made.run_settings(*run) | {"code": "then"}
        data = {"index": sha256_of(store / "index.csv")}
        write_json(f"{made.run_dir(*run)}/{names.RECORD}", {"settings": settings, "data": data})
    return made


@pytest.mark.parametrize(
    ("changes", "trained"),
    [
        ({}, set()),
        ({"regimes": {"ols": {"alpha": 0.3}}}, {("ols", 0)}),
        ({"seeds": [0, 1]}, {("hard", 1), ("ols", 1)}),
        ({"name": "second", "runs": ["hard"]}, {("hard", 0)}),
        ({"datasets": {"digits": DIGITS | {"store": {"size": 24}}}}, {("hard", 0), ("ols", 0)}),
        ({"title": "new", "figures": {"tsne_points": 99}, "statistics": {"resamples": 999}}, set()),
    ],
)
def test_what_is_trained_after_an_edit(finished, changes, trained):
    new = plan(**changes)
    found = set()
    for run in new.all_runs:
        record = f"{new.run_dir(*run)}/{names.RECORD}"
        if not os.path.exists(record) or read_json(record)["settings"] != new.run_settings(*run):
            found.add(run[2:])
    assert found == trained
    assert (new.store_of == finished.store_of) == ("datasets" not in changes)


def test_newer_code_keeps_what_is_protected(finished):
    assert protection.check_finished_runs(finished) == 2
    free = plan(protect=False)
    assert free.run_settings(*free.all_runs[0])["code"] != "then"
    for stage in STAGES:
        assert finished.data_settings(finished.store_of["digits"], stage)["code"] == f"then {stage}"
        assert free.data_settings(free.store_of["digits"], stage)["code"] != f"then {stage}"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"regimes": {"ols": {"alpha": 0.3}}}, r"ols/seed0 is finished with other settings \(.*regime: alpha: 0.5 → 0.3\)"),
        ({"datasets": {"digits": DIGITS | {"sample": {"per_class": 7}}}}, r"with other settings \(.*store: digits-"),
    ],
)  # fmt: skip
def test_an_edited_config_never_deletes_a_protected_run(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        protection.check_finished_runs(plan(**changes))


def test_runs_on_an_edited_list_are_never_mixed(finished, tmp_path):
    """A label mended, a seed added: seed 0 saw other labels, so nothing is planned until the user says what to do."""
    new = plan(seeds=[0, 1])
    path = tmp_path / "results/data/digits/train.csv"
    os.utime(path, (0, 0))  # only the time: the same list
    assert protection.check_finished_runs(new) == 2
    before = path.read_text()
    path.write_text(before.replace("digit-4", "digit-5"))
    with pytest.raises(UserError, match=r"train.csv' has changed since 2 finished runs were trained on it"):
        protection.check_finished_runs(new)
    assert new.kept_code(new.store_of["digits"]) == {}, "the store is made again where this is not protected"
    path.write_text(before)
    (tmp_path / new.store_dir("digits") / "index.csv").write_text("digit-5\n")
    with pytest.raises(UserError, match="was trained on other images or labels than .* `protect: false`"):
        protection.check_finished_runs(new)


def test_partial_tables_are_of_the_runs_that_exist(finished):
    runs = [*MINI["runs"], "hard+broken"]
    broken = {"runs": runs, "variants": {"broken": {"train": {"lr": 1e30}}}}
    whole, part = plan(**broken), plan(partial=True, **broken)
    assert len(whole.files_of_runs(names.RECORD)) == 3
    assert part.files_of_runs(names.RECORD) == finished.files_of_runs(names.RECORD)
    assert part.tables_settings()["runs"] == runs, "the table has a row for what is missing"


def test_optional_figures_and_tables_are_drawn_where_they_are_asked_for(finished):
    extra = {"entropy", "bars", "classmeans", "distances"}
    assert not (extra | {"shift", "sweep"}) & set(finished.figure_kinds()) and not finished.swept()
    asked = plan(figures={"extra": sorted(extra)}, sweep={"lr": [1, 3]})
    assert extra | {"sweep"} <= set(asked.figure_kinds())
    assert ("digits", "resnet20", "ols+lr3", 0) in asked.all_runs and len(asked.all_runs) == 4
