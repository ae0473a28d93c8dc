"""Regimes that need another run: it is planned first, asked for or not; what cannot be planned is told at once."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from calibench.errors import UserError
from calibench.planning import checks, configuration
from calibench.planning.plan import Plan
from calibench.planning.settings import needed_runs

from tests.checkout import copy_checkout
from tests.conftest import clean_environment
from tests.workflow.conftest import MINI, planned, snakemake

RECORD = re.compile(r"results/\w+/digits/([^/\s]+/[^/\s]+)/seed(\d)/run\.json")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return copy_checkout(tmp_path_factory.mktemp("edges") / "calibench")


def completed(**changes):
    return configuration.complete(MINI | {"name": "edges"} | changes)


def edges(**changes):
    """{backbone/run: the runs it waits for} of an experiment and of all that its runs need."""
    config = completed(**changes)
    plan, found = Plan(config), {}
    for backbone, run in needed_runs(config):
        folders = plan.other_runs("digits", backbone, run, 1).values()
        found[f"{backbone}/{run}"] = {
            f.removeprefix("results/edges/digits/").removesuffix("/seed1") for f in folders
        }
    return found


def edges_of_jobs(output):
    """The same from the files of the trainings that Snakemake plans, with the seed."""
    found = {}
    for block in re.findall(r"(?:local)?rule train_\w+:\n(?:    .*\n)+", output):
        fields = dict(re.findall(r"    (input|output): (.*)\n", block))
        (trained,) = RECORD.findall(fields["output"])
        found[trained] = set(RECORD.findall(fields["input"]))
    return found


def test_each_edge_without_asking_for_its_source(checkout):
    """`runs` names neither hard, ols, lspp nor the teacher backbone; Snakemake plans all, and they come first."""
    wanted = ["lsplus", "tfkd_self", "kd", "pt_lspp", "ls_matched"]
    teachers = {"kd": {"teacher": "resnet34/ls"}, "pt_lspp": {"matrix_of": "resnet34/lspp"}}
    changes = {"name": "edges", "runs": wanted, "regimes": teachers, "protect": True}
    (checkout / "config/edges.yaml").write_text(yaml.safe_dump(MINI | changes))
    output = snakemake(checkout, "-n", "results/edges/metrics.csv", "--configfile", "config/edges.yaml")
    needs = {
        "lsplus": "resnet20/hard", "tfkd_self": "resnet20/hard", "kd": "resnet34/ls", "pt_lspp": "resnet34/lspp",
        "ls_matched": "resnet20/ols",
    }  # fmt: skip
    expected = {(f"resnet20/{run}", "0"): {(source, "0")} for run, source in needs.items()}
    expected |= {(source, "0"): set() for source in needs.values()}
    assert edges_of_jobs(output) == expected
    jobs = planned(output)
    assert jobs["train_hard"] == jobs["store"] == 1  # one run serves both that need it
    assert jobs["analyse"] == len(wanted)  # what was not asked for is no row of the tables


def test_sources_follow_variant_and_backbone():
    found = edges(
        seeds=[0, 1], backbones=["resnet20", "resnet34"], runs=["lsplus", "lsplus+cutmix+own"],
        variants={"cutmix": {"augment": {"cutmix": 1.0}}, "own": {"regime": {"prior": "{backbone}/hard+cutmix"}}},
    )  # fmt: skip
    assert len(found) == 8
    for run, sources in found.items():
        wanted = {run.replace("lsplus", "hard").removesuffix("+own")} if "lsplus" in run else set()
        assert sources == wanted


def test_sources_are_trained_on_the_same_labels():
    """Under label noise a prior from clean labels would leak; a variant that says what its source is, is obeyed."""
    variants = {
        "noise": {"data": {"label_noise": 0.4}},
        "clean": {"data": {}},
        "knowing": {"regime": {"prior": "{backbone}/hard+clean"}},
        "cutout": {"augment": {"cutout": 0.25}},
    }
    named = ["lsplus+noise", "tfkd_self+cutout+noise", "ls_matched+noise", "lsplus+noise+knowing"]
    found = edges(runs=named, variants=variants)
    needs = dict(zip(named, ["hard+noise", "hard+noise", "ols+noise", "hard+clean"], strict=True))
    for run, source in needs.items():
        assert found[f"resnet20/{run}"] == {f"resnet20/{source}"}


def test_a_chain_of_three():
    """Born again: kd learns from another kd, which learns from hard."""
    found = edges(
        runs=["kd+second"], regimes={"kd": {"teacher": "resnet34/hard"}},
        variants={"second": {"regime": {"teacher": "{backbone}/kd"}}},
    )  # fmt: skip
    assert found == {
        "resnet20/kd+second": {"resnet20/kd"},
        "resnet20/kd": {"resnet34/hard"},
        "resnet34/hard": set(),
    }


def test_a_variant_may_start_from_pretrained_weights():
    plan = Plan(
        completed(
            backbones=["resnet34"],
            runs=["hard+pre", "hard", "kd"],
            variants={"pre": {"model": {"weights": "imagenet"}}},
            regimes={"kd": {"teacher": "resnet18/hard+pre"}},
        )
    )
    wanted = [f"results/weights/{name}-imagenet.pth" for name in ("resnet18", "resnet34")]
    assert plan.pretrained() == wanted
    assert plan.weights_of("resnet34", "hard+pre") == wanted[1:]
    assert plan.weights_of("resnet34", "hard") == []


def test_braces_in_a_config_are_not_wildcards(checkout):
    """The default target, report and all: the config's text goes through Snakemake unread.

    Without an audit the sample is drawn from the list itself.
    """
    changes = {
        "datasets": {"digits": MINI["datasets"]["digits"] | {"audit": {"enabled": False}}},
        "runs": ["{hard,lsplus}+cutmix"],
        "regimes": {"lsplus": {"prior": "{backbone}/hard"}},
        "variants": {"cutmix": {"augment": {"cutmix": 1.0}}},
        "title": "a {title}",
        "figures": {"extra": ["bars"], "class": "{3}"},
    }
    (checkout / "config/braces.yaml").write_text(yaml.safe_dump(MINI | {"name": "braces"} | changes))
    output = snakemake(checkout, "-n", "--configfile", "config/braces.yaml")
    assert planned(output)["report"] == 1 and planned(output)["train_lsplus"] == 1
    sample = output.partition("rule sample:")[2].partition("output:")[0]
    assert "/list.csv" in sample and "audited.csv" not in output and "rule audit:" not in output


# those of the papers are planned without Snakemake in tests/planning/test_papers.py
SHIPPED = [
    pytest.param(name, marks=() if name == "controls.yaml" else pytest.mark.slow)
    for name in (
        "papers/lsplus/table1.yaml",
        *sorted(p.name for p in (Path(__file__).parents[2] / "config").glob("*.yaml")),
    )
]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_config_can_be_planned(checkout, name):
    """With a root that is there; what is in it is for the stages to read."""
    files = ["papers/ols_radimagenet/paper.yaml", name] if name == "controls.yaml" else [name]
    config = yaml.safe_load((checkout / "config" / files[0]).read_text())
    datasets = {}
    for dataset, settings in config["datasets"].items():
        root = checkout / "data" / name / dataset
        root.mkdir(parents=True, exist_ok=True)
        datasets[dataset] = {"root": str(root)}
        for file in (settings.get("files") or {}).values():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).touch()
        for split in ("train", "val", "test"):
            (root / f"RadiologyAI_{split}.csv").touch()
    (checkout / "config/here.yaml").write_text(yaml.safe_dump({"datasets": datasets, "seeds": [0]}))
    output = snakemake(checkout, "-n", "--configfile", *(f"config/{f}" for f in [*files, "here.yaml"]))
    assert planned(output)["report"] == 1


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
        ({"runs": ["kd"], "regimes": {"kd": {"teacher": "resnet34"}}}, "'resnet34' does not have the form backbone/run"),
        ({"runs": ["kd"], "regimes": {"kd": {"teacher": "resnet34/hart"}}}, "unknown regime 'hart'"),
        ({"runs": ["kd"], "regimes": {"kd": {"teacher": None}}}, "teacher: 'None' does not have the form backbone/run"),
        ({"runs": ["ls_matched"], "regimes": {"ls_matched": {"matrix_of": "resnet34/ls"}}}, "'ls' does not learn a matrix"),
        (
            {
                "runs": ["lsplus+own"],
                "variants": {"own": {"regime": {"prior": "resnet20/hard+own"}}},
            },
            "variants.own: regime 'hard' has no setting 'prior'",
        ),
        (
            {"runs": ["kd"], "regimes": {"kd": {"teacher": "resnet5O/hard"}}},
            "regimes.kd.teacher: there is no backbone 'resnet5O'; did you mean",
        ),
        (
            {
                "runs": ["hard", "ols"], "statistics": {"contrasts": [["ols", "hard@temperature"]]},
                "datasets": {"digits": MINI["datasets"]["digits"] | {"calibrate": 0}},
            },
            "set datasets.digits.calibrate above 0, or remove the contrast",
        ),
        (
            {"runs": ["hard"], "by_backbone": {"mobilenetv2": {"train": {"lr": 0.05}}}},
            "by_backbone: there is no backbone 'mobilenetv2'; did you mean mobilenet_v2",
        ),
        (
            {"runs": ["ols"], "by_backbone": {"resnet20": {"regimes": {"olss": {"alpha": 0.9}}}}},
            "by_backbone.resnet20.regimes: unknown regime 'olss'",
        ),
        (
            {"runs": ["ols", "hard"], "statistics": {"contrasts": [["ols", "hard@platt"]]}},
            "'hard@platt': unknown calibrator 'platt'; there are: temperature,",
        ),
        ({"runs": ["ols"], "statistics": {"calibrators": ["dirichlt"]}}, "did you mean 'dirichlet'?"),
        ({"runs": ["ols"], "statistics": {"contrasts": [["ols", "ols"]]}}, "'ols' is compared with itself"),
        ({"runs": ["ols"], "statistics": {"metrics": ["accuracy"]}}, "'accuracy'"),
        ({"runs": ["ols"], "tables": {"published": "foo"}}, "tables.published: 'foo' is neither a paper (lsplus"),
        ({"runs": ["ols"], "seeds": [0, 0]}, "seeds"),
        ({"runs": ["old"]}, "unknown regime 'old'"),
        ({"runs": ["ols"], "regimes": {"ols": {"alpah": 0.5}}}, "regime 'ols' has no setting 'alpah'"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_is_told_in_one_sentence(changes, sentence):
    """By the checks that the workflow makes before it plans anything."""
    with pytest.raises(UserError) as error:
        checks.check_all(completed(**changes))
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_a_setting_without_default_must_be_given(checkout):
    regime = checkout / "workflow/calibench/regimes/sce.py"
    before = regime.read_text()
    regime.write_text(before.replace("beta: float = 0.1", "beta: float", 1))
    (checkout / "config/sce.yaml").write_text(yaml.safe_dump(MINI | {"runs": ["sce"]}))
    command = [sys.executable, "-m", "calibench", "config", "config/sce.yaml"]
    environment = clean_environment() | {"PYTHONPATH": "workflow"}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=60)
    regime.write_text(before)
    assert "error: config: regimes.sce.beta has no default; set it\n" in done.stderr and done.returncode == 2
