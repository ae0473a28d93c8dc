"""Regimes that need another run: Snakemake plans it first, asked for or not; what cannot be planned is told at once."""

import re

import pytest
import yaml

from tests.checkout import copy_checkout
from tests.workflow.conftest import MINI, planned, snakemake

RECORD = re.compile(r"results/\w+/digits/([^/\s]+/[^/\s]+)/seed(\d)/run\.json")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return copy_checkout(tmp_path_factory.mktemp("edges") / "calibench")


def plan(checkout, check=True, **changes):
    """Snakemake's whole plan of an experiment."""
    (checkout / "config/edges.yaml").write_text(yaml.safe_dump(MINI | {"name": "edges"} | changes))
    target = ("results/edges/metrics.csv", "--configfile", "config/edges.yaml")
    return snakemake(checkout, *(["-n"] if check else []), *target, check=check)


def edges(output):
    """{(backbone/run, seed): the runs it waits for} of the planned trainings, from their files."""
    found = {}
    for block in re.findall(r"(?:local)?rule train_\w+:\n(?:    .*\n)+", output):
        fields = dict(re.findall(r"    (input|output): (.*)\n", block))
        (trained,) = RECORD.findall(fields["output"])
        found[trained] = set(RECORD.findall(fields["input"]))
    return found


def test_each_edge_without_asking_for_its_source(checkout):
    """`runs` names neither hard, ols, lspp nor the teacher backbone; all are planned and come first."""
    wanted = ["lsplus", "tfkd_self", "kd", "pt_lspp", "ls_matched"]
    teachers = {"kd": {"teacher": "resnet34/ls"}, "pt_lspp": {"matrix_of": "resnet34/lspp"}}
    output = plan(checkout, runs=wanted, regimes=teachers)
    needs = {
        "lsplus": "resnet20/hard", "tfkd_self": "resnet20/hard", "kd": "resnet34/ls", "pt_lspp": "resnet34/lspp",
        "ls_matched": "resnet20/ols",
    }  # fmt: skip
    expected = {(f"resnet20/{run}", "0"): {(source, "0")} for run, source in needs.items()}
    expected |= {(source, "0"): set() for source in needs.values()}
    assert edges(output) == expected
    jobs = planned(output)
    assert jobs["train_hard"] == 1  # one run serves both that need it
    assert jobs["evaluate"] == len(wanted)  # what was not asked for is no row of the tables


def test_sources_follow_seed_variant_and_backbone(checkout):
    output = plan(
        checkout, seeds=[0, 1], backbones=["resnet20", "resnet34"], runs=["lsplus", "lsplus+cutmix+own"],
        variants={"cutmix": {"augment": {"cutmix": 1.0}}, "own": {"regime": {"prior": "{backbone}/hard+cutmix"}}},
    )  # fmt: skip
    for (run, seed), sources in edges(output).items():
        assert sources == (
            {(run.replace("lsplus", "hard").removesuffix("+own"), seed)} if "lsplus" in run else set()
        )
    assert planned(output)["train_hard"] == planned(output)["train_lsplus"] == 8


def test_a_chain_of_three(checkout):
    """Born again: kd learns from another kd, which learns from hard."""
    output = plan(
        checkout, runs=["kd+second"], regimes={"kd": {"teacher": "resnet34/hard"}},
        variants={"second": {"regime": {"teacher": "{backbone}/kd"}}},
    )  # fmt: skip
    assert edges(output) == {
        ("resnet20/kd+second", "0"): {("resnet20/kd", "0")},
        ("resnet20/kd", "0"): {("resnet34/hard", "0")},
        ("resnet34/hard", "0"): set(),
    }


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"runs": ["kd"], "regimes": {"kd": {"teacher": "resnet20/kd"}}},
            "runs need each other in a circle: resnet20/kd → resnet20/kd; name another teacher",
        ),
        (
            {
                "runs": ["hard", "kd"], "regimes": {"kd": {"teacher": "resnet34/lsplus"}},
                "by_backbone": {"resnet34": {"regimes": {"lsplus": {"prior": "resnet20/kd"}}}},
            },
            "circle: resnet20/kd → resnet34/lsplus → resnet20/kd",
        ),
        ({"runs": ["kd"], "regimes": {"kd": {"teacher": "resnet34"}}}, "'resnet34' is not of the form backbone/run"),
        ({"runs": ["kd"], "regimes": {"kd": {"teacher": "resnet34/hart"}}}, "unknown regime 'hart'"),
        ({"runs": ["kd"], "regimes": {"kd": {"teacher": None}}}, "teacher: 'None' is not of the form backbone/run"),
        ({"runs": ["ls_matched"], "regimes": {"ls_matched": {"matrix_of": "resnet34/ls"}}}, "'ls' learns no matrix"),
        (
            {
                "runs": ["lsplus+own"],
                "variants": {"own": {"regime": {"prior": "resnet20/hard+own"}}},
            },
            "variants: own: regime 'hard' has no setting 'prior'",
        ),
        ({"runs": ["old"]}, "unknown regime 'old'"),
        ({"runs": ["ols"], "regimes": {"ols": {"alpah": 0.5}}}, "regime 'ols' has no setting 'alpah'"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_is_told_in_one_sentence(checkout, changes, sentence):
    output = plan(checkout, check=False, **changes)
    assert sentence in output
    assert output.count("WorkflowError") == 1 and "Traceback" not in output
    assert not (checkout / "results").exists()


def test_a_setting_without_default_must_be_given(checkout):
    regime = checkout / "workflow/calibench/regimes/sce.py"
    before = regime.read_text()
    regime.write_text(before.replace("beta: float = 0.1", "beta: float", 1))
    output = plan(checkout, check=False, runs=["sce"])
    assert "config: regimes: sce: beta has no default; set it" in output and "Traceback" not in output
    assert planned(plan(checkout, runs=["sce"], regimes={"sce": {"beta": 1.0}}))["train_sce"] == 1
    regime.write_text(before)
