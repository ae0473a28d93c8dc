"""The choice of a learning rate: by validation, nothing left out, told where the range was too narrow."""

import pandas as pd
import pytest
from calibench.errors import UserError
from calibench.planning import checks, naming, settings, sweeping
from calibench.planning import configuration as config
from calibench.tables import sweep

from tests.workflow.conftest import MINI

SWEPT = {
    "runs": ["hard", "ols+alpha03"],
    "variants": {"alpha03": {"regime": {"alpha": 0.3}}},
    "sweep": {"lr": [0.333, 1, 3]},
}


def completed(**changes):
    return config.complete(config.merge(MINI, SWEPT | changes))


def test_runs_of_a_sweep():
    full = completed()
    assert sweeping.run_names(full) == [
        "hard", "hard+lr0.333", "hard+lr3", "ols+alpha03", "ols+alpha03+lr0.333", "ols+alpha03+lr3",
    ]  # fmt: skip
    assert sweeping.Try("ols+alpha03+lr3", "ols+alpha03", "lr", 3) in sweeping.tries(full)
    checks.check_all(full)
    assert config.complete(full) == full


def test_factors_multiply_the_rate_of_each_backbone():
    full = completed(train={"lr": 0.1}, by_backbone={"vgg19": {"train": {"lr": 0.02}}})
    rates = {
        b: settings.settings_of(full, "hard+lr3", "digits", b, 0)["train"] for b in ("resnet18", "vgg19")
    }
    assert rates["resnet18"]["lr"] == pytest.approx(0.3) and rates["vgg19"]["lr"] == pytest.approx(0.06)
    assert "lr_factor" not in rates["vgg19"]
    assert settings.settings_of(full, "hard", "digits", "vgg19", 0)["train"]["lr"] == 0.02


def test_a_name_that_is_taken_is_told():
    with pytest.raises(UserError, match="variants.lr3: the sweep of lr needs this name"):
        completed(variants={"lr3": {"train": {"lr": 3.0}}, "alpha03": {}})


def table(values):
    """A long table from {(run, seed): (val nll, test error)}."""
    rows = []
    for (run, seed), (val, test) in values.items():
        regime, variant = naming.split_name(run)
        base = {"dataset": "d", "backbone": "b", "regime": regime, "variant": variant, "seed": seed, "n": 9}
        rows += [
            base | {"split": "select", "checkpoint": "top1", "metric": "nll", "value": val},
            base | {"split": "select", "checkpoint": "last", "metric": "nll", "value": 1 - val},
            base | {"split": "test", "checkpoint": "top1", "metric": "top1_error", "value": test},
        ]
    return pd.DataFrame(rows)


def tries(full):
    """As the rule hands them over."""
    return [[t.run, t.base, t.setting, t.value] for t in sweeping.tries(full)]


LR3 = {"tries": [["hard", "hard", "lr", 1], ["hard+lr3", "hard", "lr", 3]]}
SETTINGS = {"by": "val_nll", "checkpoint": "top1"}


def test_validation_chooses_and_test_does_not():
    values = {}
    for seed in (0, 1):
        values |= {
            ("ols+a+lr0.333", seed): (0.5, 0.01),
            ("ols+a", seed): (0.4 + seed / 10, 0.3),
            ("ols+a+lr3", seed): (0.9, 0.2),
        }
        values |= {
            ("hard", seed): (0.5, 0.5),
            ("hard+lr0.333", seed): (0.6, 0.4),
            ("hard+lr3", seed): (0.1, 0.9),
        }
    full = config.complete(config.merge(MINI, SWEPT | {"runs": ["hard", "ols+a"], "variants": {"a": {}}}))
    out = sweep.choose(table(values), SETTINGS | {"tries": tries(full)})
    assert list(out["value"]) == ["0.333", "1", "3"] * 2 and set(out["tries"]) == {3}
    assert list(out["regime"] + out["variant"]) == ["hard"] * 3 + ["ols+a"] * 3
    chosen = out[out["chosen"] == "yes"].set_index("regime")
    assert chosen.loc["hard", "value"] == "3" and chosen.loc["hard", "at_edge"] == "yes"
    assert chosen.loc["ols", "value"] == "1" and chosen.loc["ols", "at_edge"] == "no"
    assert chosen.loc["ols", "val_nll"] == pytest.approx(0.45) and chosen.loc["ols", "seeds"] == 2
    assert chosen.loc["ols", "test_top1_error"] == pytest.approx(0.3)


def test_only_seeds_that_every_factor_has_count():
    values = {("hard", 0): (0.5, 0.5), ("hard", 1): (0.01, 0.1), ("hard+lr3", 0): (0.4, 0.3)}
    out = sweep.choose(table(values), SETTINGS | LR3)
    assert list(out["seeds"]) == [1, 1] and list(out["val_nll"]) == [0.5, 0.4]
    assert list(out["chosen"]) == ["no", "yes"] and list(out["test_top1_error"]) == [0.5, 0.3]


def test_a_diverged_factor_is_never_chosen():
    values = {("hard", 0): (float("nan"), 0.5), ("hard+lr3", 0): (7.0, 0.9)}
    out = sweep.choose(table(values), SETTINGS | LR3)
    assert dict(zip(out["value"], out["chosen"], strict=True)) == {"1": "no", "3": "yes"}


SETTINGS_OF_ALL = {
    "runs": ["hard", "ols", "ols+alpha03"],
    "sweep": {"ols.alpha": [0.3, 0.5, 1.0], "ols.update_every": [12], "train.momentum": [0.5]},
}


def test_any_setting_of_a_regime_or_of_training_is_swept_one_at_a_time():
    full = completed(**SETTINGS_OF_ALL)
    checks.check_all(full)
    assert sweeping.run_names(full) == [
        "hard", "hard+momentum0.5",
        "ols", "ols+alpha0.3", "ols+alpha1", "ols+update_every12", "ols+momentum0.5",
        "ols+alpha03", "ols+alpha03+alpha0.5", "ols+alpha03+alpha1", "ols+alpha03+update_every12", "ols+alpha03+momentum0.5",
    ]  # fmt: skip
    swept = settings.settings_of(full, "ols+update_every12", "digits", "resnet20", 0)
    assert swept["regime"] == {**swept["regime"], "alpha": 0.5, "update_every": 12}
    assert settings.settings_of(full, "hard+momentum0.5", "digits", "resnet20", 0)["train"]["momentum"] == 0.5
    own = {(t.base, t.setting): t.value for t in sweeping.tries(full) if t.run == t.base}
    assert own["ols+alpha03", "ols.alpha"] == 0.3 and own["ols", "ols.update_every"] is None
    assert ("hard", "ols.alpha") not in own


def test_the_table_says_how_many_tries_each_had():
    full = completed(**SETTINGS_OF_ALL)
    values = {(run, 0): (0.5 - i / 100, 0.3) for i, run in enumerate(sweeping.run_names(full))}
    out = sweep.choose(table(values), SETTINGS | {"tries": tries(full)}).set_index(
        ["regime", "variant", "setting"]
    )
    assert set(out.loc["hard", "tries"]) == {2} and set(out.loc[("ols", ""), "tries"]) == {5}
    assert list(out.loc[("ols", "", "ols.alpha"), "value"]) == ["0.3", "0.5", "1.0"]
    best = out[out["chosen"] == "yes"]["value"]
    assert best["ols", "", "ols.alpha"] == "1.0" and best["ols", "", "ols.update_every"] == "12"
    assert list(out.loc[("ols", "", "ols.update_every"), "value"]) == ["12", "null"]


@pytest.mark.parametrize(
    ("swept", "sentence"),
    [
        ({"ols.alfa": [1]}, "sweep: 'ols.alfa' does not exist; did you mean 'ols.alpha'?"),
        ({"train.momentun": [0.5]}, "did you mean 'train.momentum'?"),
        ({"oils.alpha": [1]}, "sweep: 'oils.alpha' is not a setting; write lr, <regime>.<setting>"),
        ({"ls.eps": [0.2]}, "runs has no run of that regime"),
        ({"ols.alpha": []}, "config: sweep.ols.alpha"),
        ({"train.batch_size": [0]}, "run 'hard+batch_size0' on resnet20: train: train.batch_size: 0 is less"),
    ],
)
def test_a_sweep_that_cannot_be_is_one_sentence(swept, sentence):
    with pytest.raises(UserError) as error:
        checks.check_all(completed(runs=["hard", "ols"], sweep=swept))
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_backbones_with_a_value_of_their_own_are_swept_alone():
    with pytest.raises(UserError, match="another value for vgg19 under by_backbone"):
        checks.check_all(
            completed(sweep={"ols.alpha": [0.1]}, by_backbone={"vgg19": {"regimes": {"ols": {"alpha": 0.2}}}})
        )
