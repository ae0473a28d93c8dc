"""Mistakes in a config: one clear sentence each, before anything runs."""

import re
from pathlib import Path

import pytest
from calibench import config, runs
from calibench.errors import UserError

from tests.workflow.conftest import MINI

ROOT = Path(__file__).parents[2]


def changed(**changes):
    return config.complete(config.merge(MINI, changes))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train": {"epoch": 3}}, "unknown key 'epoch'; did you mean 'epochs'?"),
        ({"train": {"lr": "1e-4"}}, "YAML wants a dot in it"),
        ({"seeds": "0"}, "config: seeds"),
        ({"seeds": []}, "config: seeds"),
        ({"runs": ["hart"]}, "unknown regime 'hart'"),
        ({"runs": ["hard+big"]}, "no variant 'big'"),
        ({"regimes": {"ols": {"alfa": 1}}}, "regime 'ols' has no setting 'alfa'"),
        ({"regimes": {"oils": {}}}, "unknown regime 'oils'"),
        ({"name": "a/b"}, "config: name"),
        ({"variants": {"x": {"train": {"lrr": 1}}}, "runs": ["hard+x"]}, "unknown key 'lrr'"),
        ({"by_backbone": {"resnet20": {"train": {"lr": -1}}}}, "train: lr"),
        ({"datasets": {"digits": {"store": {"size": "32"}}}}, "store: size"),
    ],
)
def test_mistake(changes, sentence):
    with pytest.raises(UserError) as error:
        runs.check_all(changed(**changes))
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_key():
    with pytest.raises(UserError, match="key 'runs' is missing"):
        config.complete({k: v for k, v in MINI.items() if k != "runs"})


def test_runs_expand_in_order():
    names = runs.run_names({"runs": ["{hard,ls}+cutmix", "ols", "hard+cutmix", "{a,b}+{c,d}"]})
    assert names == ["hard+cutmix", "ls+cutmix", "ols", "a+c", "a+d", "b+c", "b+d"]


def test_layers_of_settings():
    full = changed(
        regimes={"ols": {"alpha": 0.4}},
        by_backbone={"resnet20": {"regimes": {"ols": {"alpha": 0.3}}, "train": {"lr": 0.5}}},
        variants={"a2": {"regime": {"alpha": 0.2}, "train": {"epochs": 9}}},
    )
    settings = runs.settings_of(full, "ols+a2", "digits", "resnet20", 3)
    assert settings["regime"]["alpha"] == 0.2
    assert settings["train"]["lr"] == 0.5 and settings["train"]["epochs"] == 9
    assert settings["run"] == {
        "dataset": "digits", "backbone": "resnet20", "regime": "ols", "variant": "+a2", "seed": 3,
    }  # fmt: skip
    assert runs.settings_of(full, "ols", "digits", "resnet20", 3)["regime"]["alpha"] == 0.3
    assert runs.settings_of(full, "ols", "digits", "resnet34", 3)["regime"]["alpha"] == 0.4


def test_missing_data_names_key_path_and_access(tmp_path):
    full = changed(datasets={"digits": {"root": str(tmp_path / "nowhere")}})
    with pytest.raises(UserError, match=r"datasets: digits: root: .*nowhere' does not exist.*on request"):
        runs.check_root(full, "digits")


@pytest.mark.parametrize("path", sorted(p.name for p in (config.SCHEMA.parents[2] / "config").glob("*.yaml")))
def test_shipped_configs_are_valid(path):
    runs.check_all(config.read(config.SCHEMA.parents[2] / "config" / path))


def test_the_readme_explains_every_key():
    """config/README.md ends with what `python -m calibench.config` prints."""
    text = (config.SCHEMA.parents[2] / "config/README.md").read_text()
    assert config.explain().strip() in text, (
        "run: python -m calibench.config, and paste it into config/README.md"
    )


def test_every_caption_of_snakemakes_report_is_used():
    folder = ROOT / "workflow"
    sources = "".join(
        path.read_text(encoding="utf-8") for path in [*folder.glob("rules/*.smk"), folder / "Snakefile"]
    )
    named = set(re.findall(r"report/(\w+\.rst)", sources))
    assert named == {path.name for path in (folder / "report").iterdir()}
