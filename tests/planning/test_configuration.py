"""Mistakes in a config: one clear sentence each, before anything runs."""

import datetime
import json
import re
from pathlib import Path

import pytest
import yaml
from calibench.errors import UserError
from calibench.planning import checks, naming
from calibench.planning import configuration as config
from calibench.planning.explain import explain
from calibench.planning.settings import settings_of
from calibench.stages import config as stage

from tests.workflow.conftest import MINI

ROOT = Path(__file__).parents[2]
# controls.yaml is a second file, beside one of these
SHIPPED = sorted({p.name for p in (ROOT / "config").glob("*.yaml")} - {"controls.yaml"})


def changed(**changes):
    return config.complete(config.merge(MINI, changes))


def test_a_later_file_removes_a_data_set_with_null():
    second = {"datasets": {"other": next(iter(MINI["datasets"].values()))}}
    both = config.merge(MINI, second)
    first = next(iter(MINI["datasets"]))
    assert list(config.complete(config.merge(both, {"datasets": {first: None}}))["datasets"]) == ["other"]


def test_a_regime_has_a_recipe_of_its_own_between_backbone_and_variant():
    done = changed(
        train={"lr": 1.0},
        by_backbone={"resnet20": {"train": {"lr": 0.5, "epochs": 7}}},
        by_regime={"ols": {"train": {"lr_factor": 3, "epochs": 8}}},
        variants={"long": {"train": {"epochs": 9}}},
    )
    trained = {
        run: settings_of(done, run, "mini", "resnet20", 0)["train"] for run in ("hard", "ols", "ols+long")
    }
    assert [t["lr"] for t in trained.values()] == [0.5, 1.5, 1.5]
    assert [t["epochs"] for t in trained.values()] == [7, 8, 9]
    with pytest.raises(UserError, match="by_regime: unknown regime 'oils'"):
        checks.check_all(changed(by_regime={"oils": {}}))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train": {"epoch": 3}}, "unknown key 'epoch'; did you mean 'epochs'?"),
        ({"train": {"lr": "1e-4"}}, "YAML numbers with an exponent need a dot"),
        ({"seeds": "0"}, "config: seeds"),
        ({"seeds": []}, "config: seeds"),
        ({"runs": ["hart"]}, "unknown regime 'hart'"),
        ({"runs": ["hard+big"]}, "unknown variant 'big'"),
        ({"regimes": {"ols": {"alfa": 1}}}, "regime 'ols' has no setting 'alfa'"),
        ({"regimes": {"oils": {}}}, "unknown regime 'oils'; did you mean 'ols'?"),
        ({"runs": ["hard", "xyz"]}, "unknown regime 'xyz'; there are: "),
        ({"backbones": "lenet"}, "config: backbones: expected a list, found 'lenet'; write [lenet]"),
        ({"seeds": [0, 0]}, "config: seeds: [0, 0] has the same item twice"),
        (
            {"regimes": {"ols": {"alpha": 1.5}}},
            "config: run 'ols' on resnet20: ols: alpha is 1.5; it must be",
        ),
        (
            {"variants": {"x": {"regime": {"eps": -1}}}, "runs": ["ls+x"]},
            "run 'ls+x' on resnet20: ls: eps is -1",
        ),
        (
            {"statistics": {"contrasts": [["ols", "gce"]]}},
            "compares 'gce', which is not among runs; add it there",
        ),
        (
            {"datasets": {"digits": {"files": {"tran": "x"}}}},
            "radimagenet has no file 'tran'; did you mean 'train'?",
        ),
        (
            {"datasets": {"digits": {"format": "npz"}}},
            "datasets.digits.files: format npz has no file 'train'",
        ),
        ({"datasets": {"digits": {"format": "imagefolder"}}}, "no file 'train'; leave `files` out"),
        ({"name": "a/b"}, "config: name"),
        ({"variants": {"x": {"train": {"lrr": 1}}}, "runs": ["hard+x"]}, "unknown key 'lrr'"),
        ({"by_backbone": {"resnet20": {"train": {"lr": -1}}}}, "train.lr"),
        ({"datasets": {"digits": {"store": {"size": "32"}}}}, "store.size"),
        ({1: 2}, "config: the key 1 is not text"),
        ({True: 2}, "config: the key True is not text"),
        ({"regimes": {"ols": {1: 2}}}, "config: regimes.ols: the key 1 is not text"),
        ({"name": ".."}, "config: name: '..' is not allowed here: letters, digits and _ . - only"),
        ({"name": "."}, "config: name: '.' is not allowed here"),
        ({"name": "x\n"}, "config: name: 'x\\n' is not allowed here"),
        ({"name": "store"}, "config: name: 'store' is not allowed here: that folder of results/ is shared"),
        ({"name": "data"}, "that folder of results/ is shared"),
        ({"name": "weights"}, "that folder of results/ is shared"),
        ({"backbones": ["resnet20\n"]}, "config: backbones.0: 'resnet20\\n' is not allowed here"),
        ({"datasets": {"digits\n": {"root": "x"}}}, "config: datasets: 'digits\\n' is not allowed here"),
        ({"datasets": {"..": {"root": "x"}}}, "config: datasets: '..' is not allowed here"),
        ({"variants": {"a\n": {}}}, "config: variants: 'a\\n' is not allowed here"),
        ({"regimes": {"ols\n": {}}}, "config: regimes: 'ols\\n' is not allowed here"),
        ({"seeds": [0.0]}, "config: seeds.0: expected a whole number, found 0.0"),
        ({"seeds": [True]}, "config: seeds.0: expected a whole number, found True"),
        ({"train": {"lr": float("nan")}}, "config: train.lr: nan is not a finite number"),
        ({"train": {"lr": float("inf")}}, "config: train.lr: inf is not a finite number"),
        ({"regimes": {"ols": {"alpha": float("-inf")}}}, "regimes.ols.alpha: -inf is not a finite number"),
        (
            {"train": {"snapshots": 20}},
            "run 'hard' on resnet20: train.snapshots is 20, but the training has 1",
        ),
        (
            {"variants": {"x": {"train": {"snapshots": 2}}}, "runs": ["hard+x"]},
            "train.snapshots must be the same for the whole experiment",
        ),
        ({"augment": {"scale": [1.0, 0.5]}}, "augment.scale must be [lowest, highest]"),
        ({"augment": {"ratio": [0.75, 1.3]}}, "augment.ratio has no effect without augment.scale"),
        ({"augment": {"scale": [0.5, 1.0], "pad": 4}}, "scale replaces crop and pad"),
        (
            {"data": {"noise": "nowhere.csv"}},
            "'nowhere.csv' is neither symmetric, nor pair, nor an existing file",
        ),
        (
            {"data": {"noise": __file__, "label_noise": 0.1}},
            "defines the share of noise; remove data.label_noise",
        ),
        ({"regimes": {"ols": {"alpha": datetime.date(2020, 1, 1)}}}, "'2020-01-01' was read as a date"),
    ],
)
def test_mistake(changes, sentence):
    with pytest.raises(UserError) as error:
        checks.check_all(config.complete(config.merge(MINI, changes)))
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "train: {lr: 0.1}\nname: x\ntrain: {lr: 0.2}\n",
            "key 'train' exists twice, in lines 1 and 3; keep one",
        ),
        ('train:\n  lr: 0.1\n  "lr": 0.2\n', "key 'lr' exists twice, in lines 2 and 3"),
        ("regimes: &a {ols: *a}\n", "regimes.ols: this YAML alias refers to a part that contains it"),
        ("title: 2020-13-45\n", "is not plain YAML: month must be in 1..12"),
        ("a: [", "is not plain YAML"),
        ("[" * 5000, "has too many levels of nesting"),
        ("- a\n", "expected keys and values"),
        ("on: 2\n", "the key True is not text"),
        ("", "config: key 'name' is missing"),
    ],
)
def test_mistake_in_a_file(tmp_path, text, sentence):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        config.read(file)
    assert sentence in str(error.value) and (not text or str(file) in str(error.value))


def test_a_key_may_stand_in_an_anchor_and_beside_it(tmp_path):
    """Merge keys override on purpose, and an anchor may be used twice."""
    file = tmp_path / "mine.yaml"
    file.write_text("a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b, x: 3}\nd: [*a, *a]\n")
    assert config.read_yaml(file) == {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 3}, "d": [{"x": 1}] * 2}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1: 2", "wrong.yaml: the key 1 is not text"),
        ("seeds: [0]\nseeds: [1]", "wrong.yaml: key 'seeds' exists twice"),
        ("runs: [old]", "unknown regime 'old'"),
    ],
)
def test_snakemake_says_the_same_sentence(run_snakemake, checkout, text, sentence):
    (checkout / "wrong.yaml").write_text(text)
    done = run_snakemake("-n", "--configfile", "config/config.yaml", "wrong.yaml", check=False)
    assert done.returncode and sentence in done.stdout and "Traceback" not in done.stdout, done.stdout[-3000:]
    assert done.stdout.count("WorkflowError") == 1 and not (checkout / "results").exists()


def test_missing_key():
    with pytest.raises(UserError, match="key 'runs' is missing"):
        config.complete({k: v for k, v in MINI.items() if k != "runs"})


def test_runs_expand_in_order():
    names = naming.named_runs({"runs": ["{hard,ls}+cutmix", "ols", "hard+cutmix", "{a,b}+{c,d}"]})
    assert names == ["hard+cutmix", "ls+cutmix", "ols", "a+c", "a+d", "b+c", "b+d"]


def test_layers_of_settings():
    full = changed(
        regimes={"ols": {"alpha": 0.4}},
        by_backbone={"resnet20": {"regimes": {"ols": {"alpha": 0.3}}, "train": {"lr": 0.5}}},
        variants={"a2": {"regime": {"alpha": 0.2}, "train": {"epochs": 9}}},
    )
    settings = settings_of(full, "ols+a2", "digits", "resnet20", 3)
    assert settings["regime"]["alpha"] == 0.2
    assert settings["train"]["lr"] == 0.5 and settings["train"]["epochs"] == 9
    assert settings["run"] == {
        "dataset": "digits", "backbone": "resnet20", "regime": "ols", "variant": "+a2", "seed": 3,
    }  # fmt: skip
    assert settings_of(full, "ols", "digits", "resnet20", 3)["regime"]["alpha"] == 0.3
    assert settings_of(full, "ols", "digits", "resnet34", 3)["regime"]["alpha"] == 0.4


def test_missing_data_names_key_path_and_access(tmp_path):
    full = changed(datasets={"digits": {"root": str(tmp_path / "nowhere")}})
    with pytest.raises(UserError, match=r"datasets.digits.root: .*nowhere' does not exist.*on request"):
        checks.check_root(full, "digits")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("filename,class\na.png,1\n", "column 'label' is missing (the header has: filename, class)"),
        ("filename,label,label\n", "column 'label' appears twice"),
    ],
)
def test_columns_of_a_list_are_checked_before_a_job_starts(tmp_path, text, sentence):
    (tmp_path / "train.csv").write_text(text)
    for name in ("val.csv", "test.csv"):
        (tmp_path / name).write_text("filename,label\n")
    with pytest.raises(UserError, match=re.escape(sentence)):
        checks.check_root(changed(datasets={"digits": {"root": str(tmp_path)}}), "digits")


def run_stage(capsys, *files):
    stage.main(list(map(str, files)))
    return capsys.readouterr()


def test_the_command_checks_as_the_workflow_does(tmp_path, capsys):
    mine = tmp_path / "mine.yaml"
    for runs, sentence in (
        (["hard", "gec"], "unknown regime 'gec'"),
        (["hard", "ls+x"], "unknown variant 'x'"),
    ):
        mine.write_text(yaml.safe_dump(MINI | {"runs": runs}))
        with pytest.raises(UserError, match=sentence):
            run_stage(capsys, mine)
    nowhere = {"digits": MINI["datasets"]["digits"] | {"root": str(tmp_path / "nowhere")}}
    mine.write_text(yaml.safe_dump(MINI | {"datasets": nowhere}))
    said = run_stage(capsys, mine)
    assert json.loads(said.out)["name"] == "mini"
    assert said.err.startswith("note: config: datasets.digits.root: ")
    (tmp_path / "nowhere").mkdir()
    with pytest.raises(UserError, match="train.csv' does not exist"):
        run_stage(capsys, mine)


def test_the_command_lists_backbones(capsys):
    assert {"lenet", "resnet50", "vgg19"} <= set(run_stage(capsys, "--backbones").out.split())


@pytest.mark.parametrize("path", SHIPPED)
def test_shipped_configs_are_valid(path):
    checks.check_all(config.read(ROOT / "config" / path))


def test_the_readme_explains_every_key():
    """config/README.md ends with what `calibench config` prints."""
    text = (ROOT / "config/README.md").read_text()
    assert explain().strip() in text, "run: calibench config, and paste it into config/README.md"


def test_every_caption_of_snakemakes_report_is_used():
    folder = ROOT / "workflow"
    sources = "".join(
        path.read_text(encoding="utf-8") for path in [*folder.glob("rules/*.smk"), folder / "Snakefile"]
    )
    named = set(re.findall(r"report/(\w+\.rst)", sources))
    assert named == {path.name for path in (folder / "report").iterdir()}
