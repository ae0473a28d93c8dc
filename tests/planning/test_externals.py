"""Predictions of other programs in a config: where they stand, and what is wrong with some."""

import pytest
from calibench.errors import UserError
from calibench.planning import checks, configuration
from calibench.planning.plan import Plan

BASE = {"name": "x", "backbones": ["resnet20", "resnet50"], "seeds": [0, 1], "runs": ["hard"]}


def config(datasets, **external):
    return configuration.complete(
        BASE | {"datasets": {d: {"root": "."} for d in datasets}, "external": external}
    )


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one.npz", "d-resnet20-0.npz", "d-resnet20-1.npz", "d-resnet50-0.npz", "d-resnet50-1.npz"):
        (tmp_path / name).write_bytes(b"")


def test_a_file_stands_at_the_first_backbone_and_seed_unless_its_name_tells(files):
    made = config(["d"], theirs="one.npz", all="{dataset}-{backbone}-{seed}.npz")
    checks.check_all(made)
    plan = Plan(made)
    assert plan.external("run.json")[0] == "results/x/d/resnet20/external+theirs/seed0/run.json"
    assert plan.external_files["d", "resnet50", "external+all", 1] == "d-resnet50-1.npz"
    assert len(plan.external("run.json")) == 5 == len(plan.external("run.json", "d"))
    assert plan.analysed("metrics.csv")[-3:] == [
        f"results/x/d/{place}/metrics.csv"
        for place in ("resnet20/external+theirs", "resnet20/external+all", "resnet50/external+all")
    ]
    assert len(plan.analysed_together("d", "resnet50", "external+all")) == 2
    drawn = plan.panel_files("reliability", "d", "resnet20", "run.json")
    assert "results/x/d/resnet20/external+theirs/seed0/run.json" in drawn
    assert not any("external" in path for path in plan.panel_files("curves", "d", "resnet20", "run.json"))
    assert plan.tables_settings()["runs"] == ["hard", "external+theirs", "external+all"]


@pytest.mark.parametrize(
    ("datasets", "file", "more", "message"),
    [
        (["d"], "{fold}.npz", {}, "'{fold}' is none of {dataset}"),
        (["d", "e"], "one.npz", {}, "one file cannot hold 2 data sets"),
        (["d"], "two.npz", {}, "'two.npz' does not exist"),
        (
            ["d"],
            "one.npz",
            {"evaluate_on": {"attacks": {"a": {"method": "fgsm", "eps": 1}}}},
            "have no network",
        ),
        (
            ["d"],
            "one.npz",
            {"statistics": {"contrasts": [["external+others", "hard"]]}},
            "'external.others', which is not among runs",
        ),
    ],
)
def test_mistakes_are_told_before_anything_runs(datasets, file, more, message):
    made = {"datasets": {d: {"root": "."} for d in datasets}, "external": {"theirs": file}}
    with pytest.raises(UserError, match=message):
        checks.check_all(configuration.complete(BASE | made | more))


def test_votes_that_are_missing_are_told():
    made = BASE | {"datasets": {"d": {"root": ".", "votes": "votes.csv"}}}
    with pytest.raises(UserError, match="datasets.d.votes: 'votes.csv' does not exist"):
        checks.check_root(configuration.complete(made), "d")
