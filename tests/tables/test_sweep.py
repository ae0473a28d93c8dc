"""The choice of a learning rate: by validation, nothing left out, told where the range was too narrow."""

import pandas as pd
import pytest
from calibench.errors import UserError
from calibench.planning import checks, naming, settings
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
    assert naming.run_names(full) == [
        "hard", "hard+lr0.333", "hard+lr3", "ols+alpha03", "ols+alpha03+lr0.333", "ols+alpha03+lr3",
    ]  # fmt: skip
    assert naming.sweep_runs(full)["ols+alpha03+lr3"] == ("ols+alpha03", 3)
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
    with pytest.raises(UserError, match="'lr3' is a name that sweep: lr needs"):
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
    out = sweep.choose(table(values), SETTINGS | {"runs": naming.sweep_runs(full)})
    assert list(out["factor"]) == [0.333, 1, 3] * 2
    assert list(out["regime"] + out["variant"]) == ["hard"] * 3 + ["ols+a"] * 3
    chosen = out[out["chosen"] == "yes"].set_index("regime")
    assert chosen.loc["hard", "factor"] == 3 and chosen.loc["hard", "at_edge"] == "yes"
    assert chosen.loc["ols", "factor"] == 1 and chosen.loc["ols", "at_edge"] == "no"
    assert chosen.loc["ols", "val_nll"] == pytest.approx(0.45) and chosen.loc["ols", "seeds"] == 2
    assert chosen.loc["ols", "test_top1_error"] == pytest.approx(0.3)


def test_only_seeds_that_every_factor_has_count():
    values = {("hard", 0): (0.5, 0.5), ("hard", 1): (0.01, 0.1), ("hard+lr3", 0): (0.4, 0.3)}
    out = sweep.choose(table(values), SETTINGS | {"runs": {"hard": ["hard", 1], "hard+lr3": ["hard", 3]}})
    assert list(out["seeds"]) == [1, 1] and list(out["val_nll"]) == [0.5, 0.4]
    assert list(out["chosen"]) == ["no", "yes"] and list(out["test_top1_error"]) == [0.5, 0.3]


def test_a_diverged_factor_is_never_chosen():
    values = {("hard", 0): (float("nan"), 0.5), ("hard+lr3", 0): (7.0, 0.9)}
    out = sweep.choose(table(values), SETTINGS | {"runs": {"hard": ["hard", 1], "hard+lr3": ["hard", 3]}})
    assert dict(zip(out["factor"], out["chosen"], strict=True)) == {1: "no", 3: "yes"}
