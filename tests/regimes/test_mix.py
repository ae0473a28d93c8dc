"""Several regimes at once: their losses add up, their states stay apart, and collisions are told while planning."""

import pytest
import torch
from calibench.errors import UserError
from calibench.planning import checks, configuration, settings
from calibench.planning.plan import Plan
from calibench.regimes import build
from calibench.regimes.parts import needs, other_runs
from regime_cases import CASES, resumed, same_state

OF = {"ols": 0.5, "cals": 2, "maxsup": -1}
OWN = {"ols": {"alpha": 0.3}, "cals": {"margin": 1.0}}
SCALES = (1, 3, 0.5, 2)


def apart():
    return {name: build(name, 5, **OWN.get(name, {})) for name in OF}


def test_losses_add_up_and_every_part_keeps_its_own_state():
    logits, targets = CASES["odd_batch"]
    mix, alone = build("mix", 5, of=OF, settings=OWN), apart()
    for scale in SCALES:
        z = logits * scale
        expected = sum(w * alone[name](z, targets) for name, w in OF.items())
        assert mix(z, targets).item() == pytest.approx(expected.item(), rel=1e-5)
        mix.validated(z, targets)
        report, wanted = mix.close_epoch(), {}
        for name, part in alone.items():
            part.validated(z, targets)
            wanted |= {f"{name}.{key}": value for key, value in part.close_epoch().items()}
        assert report == wanted and "ols.matrix_entropy" in report
        mix = resumed(mix, build("mix", 5, of=OF, settings=OWN))
    for name, part in alone.items():
        same_state(mix.parts[name], part)
    with pytest.raises(AssertionError):
        same_state(mix.parts["ols"], build("ols", 5, alpha=0.3))


def test_the_default_is_focal_loss_and_the_term_of_mdca():
    logits, targets = CASES["odd_batch"]
    term = build("mdca", 5)(logits, targets) - build("hard", 5)(logits, targets)
    expected = build("focal", 5)(logits, targets) + term
    assert build("mix", 5)(logits, targets).item() == pytest.approx(expected.item(), rel=1e-5)


def test_its_label_is_the_mean_of_its_parts_labels_where_each_has_one():
    mix = build("mix", 4, of={"ls": 3, "hard": 1}, settings={"ls": {"eps": 0.4}})
    assert torch.allclose(mix.class_targets(), build("ls", 4, eps=0.3).class_targets())
    assert build("mix", 4).class_targets() is None  # focal loss has no label
    assert build("mix", 4, of={"hard": 2, "ls": -1}, settings={"ls": {"eps": 0.4}}).class_targets() is None


def test_it_asks_for_what_its_parts_need():
    mix = build("mix", 5, of={"kd": 1, "lsplus": 1, "ols_single": 1})
    assert (
        set(mix.needs)
        == {"teacher_logits", "sample", "step_seed"}
        == needs("mix", {"of": mix.weights, "settings": {}})
    )
    assert mix.other_runs == {"kd.teacher": "weights", "lsplus.prior": "predictions"}
    with pytest.raises(UserError, match="regime 'mix' needs 'val_logits' before training"):
        mix.prepare(train_size=9)
    mix.prepare(train_size=9, val_logits=torch.eye(5), val_targets=torch.arange(5))
    assert len(mix.parts["ols_single"].last) == 9 and mix.parts["lsplus"].accuracy.tolist() == [1.0] * 5


def test_learned_parameters_of_a_part_are_trained():
    mix = build("mix", 5, of={"lspp": 1, "ecp": 1})
    (group,) = mix.parameter_groups(0.5, 0.1)
    assert group["params"] == [mix.parts["lspp"].C] and group["lr"] == 0.1


SAME = {"of": {"kd": 1, "tfkd_self": 1}, "settings": {"kd": {"teacher": "{backbone}/hard"}}}


def test_parts_that_want_the_same_run_share_it():
    assert other_runs("mix", SAME) == {"kd.teacher": ("weights", "{backbone}/hard")}
    assert len(build("mix", 3, **SAME).other_runs) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"of": {"kd": 1, "tfkd_self": 1}},
            "kd uses the weights of run 'resnet50/hard' and tfkd_self those of '{backbone}/hard'",
        ),
        ({"of": {"focal": 1, "mdka": 1}}, "mix: of: 'mdka' cannot be a part"),
        ({"of": {"mix": 1, "ols": 1}}, "mix: of: 'mix' cannot be a part"),
        ({"settings": {"ols": {}}}, "settings: 'ols' is not in of"),
        ({"settings": {"focal": {"gama": 1}}}, "focal has no setting 'gama'; it has: gamma"),
        ({"of": 3}, "of is 3|got 3"),
    ],
)
def test_what_cannot_be_mixed_is_told_while_planning_and_when_built(given, said):
    config = configuration.complete(
        {
            "name": "t",
            "datasets": {"d": {"root": "."}},
            "backbones": ["resnet18"],
            "runs": ["mix"],
            "regimes": {"mix": given},
        }
    )
    with pytest.raises(UserError, match=said):
        checks.check_no_cycle(config, "mix", "resnet18")
    with pytest.raises(UserError, match=said):
        build("mix", 3, **given)


@pytest.mark.parametrize("of", [{"focal": 1}, {"focal": 1, "mdca": 0}, {"focal": 1, "mdca": "1"}, "focal"])
def test_wrong_weights_are_named(of):
    with pytest.raises(UserError, match="mix: of is .*at least two regimes a weight"):
        build("mix", 3, of=of)


def test_the_plan_trains_the_runs_of_its_parts_and_its_code_is_theirs_too():
    config = configuration.complete(
        {
            "name": "t",
            "datasets": {"d": {"root": "."}},
            "backbones": ["resnet18"],
            "runs": ["mix+a", "mix"],
            "variants": {"a": {"regime": SAME}},
        }
    )
    plan = Plan(config)
    assert list(plan.other_runs("d", "resnet18", "mix+a", 0).values()) == [
        plan.run_dir("d", "resnet18", "hard", 0)
    ]
    assert ("resnet18", "hard") in settings.needed_runs(config)
    assert "calibench.regimes.tfkd_self" in plan.regime_modules("resnet18", "mix+a")
    assert plan.training_code("resnet18", "mix+a") != plan.training_code("resnet18", "mix")
