"""Regimes that need another run: Snakemake plans it first, asked for or not; what cannot be planned is told at once."""

import re
from pathlib import Path

import pytest
import yaml
from calibench.errors import UserError
from calibench.planning import checks, configuration

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
    assert jobs["analyse"] == len(wanted)  # what was not asked for is no row of the tables


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


def test_sources_are_trained_on_the_same_labels(checkout):
    """Under label noise a prior from clean labels would leak; a variant that says what its source is, is obeyed."""
    variants = {
        "noise": {"data": {"label_noise": 0.4}},
        "clean": {"data": {}},
        "knowing": {"regime": {"prior": "{backbone}/hard+clean"}},
        "cutout": {"augment": {"cutout": 0.25}},
    }
    named = ["lsplus+noise", "tfkd_self+cutout+noise", "ls_matched+noise", "lsplus+noise+knowing"]
    found = edges(plan(checkout, runs=named, variants=variants))
    needs = dict(zip(named, ["hard+noise", "hard+noise", "ols+noise", "hard+clean"], strict=True))
    for run, source in needs.items():
        assert found[f"resnet20/{run}", "0"] == {(f"resnet20/{source}", "0")}


def test_a_variant_may_start_from_pretrained_weights(checkout):
    variants = {"pre": {"model": {"weights": "imagenet"}}}
    teachers = {"kd": {"teacher": "resnet18/hard+pre"}}
    output = plan(
        checkout, backbones=["resnet34"], runs=["hard+pre", "hard", "kd"], variants=variants, regimes=teachers
    )
    weights = re.findall(r"    output: results/weights/(\w+)-imagenet\.pth", output)
    assert sorted(weights) == ["resnet18", "resnet34"]
    blocks = re.findall(r"rule train_hard:\n(?:    .*\n)+", output)
    assert sorted("imagenet.pth" in b.split("input:")[1].split("\n")[0] for b in blocks) == [
        False,
        True,
        True,
    ]


def test_braces_in_a_config_are_not_wildcards(checkout):
    """The default target, report and all: the config's text goes through Snakemake unread."""
    changes = {
        "runs": ["{hard,lsplus}+cutmix"],
        "regimes": {"lsplus": {"prior": "{backbone}/hard"}},
        "variants": {"cutmix": {"augment": {"cutmix": 1.0}}},
        "title": "a {title}",
        "figures": {"extra": ["bars"], "class": "{3}"},
    }
    (checkout / "config/braces.yaml").write_text(yaml.safe_dump(MINI | {"name": "braces"} | changes))
    output = snakemake(checkout, "-n", "--configfile", "config/braces.yaml")
    assert planned(output)["report"] == 1 and planned(output)["train_lsplus"] == 1


def test_a_key_given_twice_is_told_before_anything_runs(checkout):
    text = yaml.safe_dump(MINI | {"name": "twice"}) + "seeds: [0]\nseeds: [1]\n"
    (checkout / "config/twice.yaml").write_text(text)
    output = snakemake(checkout, "-n", "--configfile", "config/twice.yaml", check=False)
    assert "config/twice.yaml" in output and "'seeds'" in output and "Traceback" not in output


# those that have edges, braces or a second file; the others are planned in the slow tests, those of the papers without
# Snakemake in tests/planning/test_papers.py
INTRICATE = ("papers/lsplus/table1.yaml", "controls.yaml")
SHIPPED = [
    *INTRICATE,
    *(
        pytest.param(p.name, marks=pytest.mark.slow)
        for p in sorted((Path(__file__).parents[2] / "config").glob("*.yaml"))
        if p.name not in INTRICATE
    ),
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
        checks.check_all(configuration.complete(MINI | {"name": "edges"} | changes))
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_a_mistake_reaches_the_terminal_as_its_sentence(checkout):
    output = plan(checkout, check=False, runs=["old"])
    assert "unknown regime 'old'" in output
    assert output.count("WorkflowError") == 1 and "Traceback" not in output
    assert not (checkout / "results").exists()


def test_a_setting_without_default_must_be_given(checkout):
    regime = checkout / "workflow/calibench/regimes/sce.py"
    before = regime.read_text()
    regime.write_text(before.replace("beta: float = 0.1", "beta: float", 1))
    output = plan(checkout, check=False, runs=["sce"])
    assert "config: regimes.sce.beta has no default; set it" in output and "Traceback" not in output
    assert planned(plan(checkout, runs=["sce"], regimes={"sce": {"beta": 1.0}}))["train_sce"] == 1
    regime.write_text(before)
