"""BYOT against its formula written out in float64, its heads made and kept, and backbones it cannot stand on."""

import copy
import math

import pytest
import torch
from calibench.backbones import classifier
from calibench.backbones.names import WITH_STAGES, check_stages
from calibench.errors import UserError
from calibench.planning import checks, configuration
from calibench.regimes import build
from regime_cases import CASES, cross_entropy, resumed, same_state, soft_cross_entropy, softmax
from torch import nn

SHAPES = [[8, 8, 8], [4, 4, 4], [6, 2, 2]]


def prepared(**settings):
    torch.manual_seed(0)
    regime = build("byot", 5, **settings)
    regime.prepare(stage_shapes=SHAPES)
    return regime


def inputs():
    draw = torch.Generator().manual_seed(1)
    maps = [torch.randn(7, c, h, w, generator=draw) for c, h, w in SHAPES[:-1]]
    return *CASES["odd_batch"], {"features": torch.randn(7, 6, generator=draw), "stages": maps}


def outputs(regime, maps):
    """(features, logits) of each head as lists, its layers taken one by one in float64."""
    found = []
    for head, stage in zip(copy.deepcopy(regime.heads).double(), maps, strict=True):
        x = stage.double()
        for layer in head.adapter:
            if isinstance(layer, nn.BatchNorm2d):
                mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, unbiased=False)
                x = (x - mean) / (var + 1e-5).sqrt()
            else:
                x = layer(x)
        features = x.flatten(2).mean(2)
        found.append(
            (features.tolist(), (features @ head.classifier.weight.T + head.classifier.bias).tolist())
        )
    return found


@pytest.mark.parametrize("of", ["hard", "ols"])
def test_by_the_formula(of):
    last, shallow, alpha, t, beta = 1.5, 0.5, 0.2, 2.0, 0.01
    regime = prepared(of=of, last=last, shallow=shallow, alpha=alpha, T=t, beta=beta)
    logits, targets, given = inputs()
    label = [[1 / 5] * 5 if of == "ols" else [float(k == y) for k in range(5)] for y in targets.tolist()]

    def inner(z):
        return (cross_entropy(z, targets.tolist()) + soft_cross_entropy(z, label)) / 2

    z, f = logits.double().tolist(), given["features"].double().tolist()
    total = last * inner(z)
    for hints, own in outputs(regime, given["stages"]):
        soft = [softmax([v / t for v in row]) for row in z]
        total += shallow * inner(own) + alpha * t**2 * soft_cross_entropy(
            [[v / t for v in r] for r in own], soft
        )
        gaps = [
            (a - b) ** 2
            for x, y in zip(hints, f, strict=True)
            for a, b in zip(x, y, strict=True)
            if a > 0 or b > 0
        ]
        total += beta * math.fsum(gaps) / len(f)
    assert regime.loss(logits, targets, **given).item() == pytest.approx(total, rel=1e-5)


def test_what_learns_from_what():
    regime = prepared(last=0.0, shallow=0.0, alpha=1.0, beta=1.0)
    logits, targets, given = inputs()
    leaves = [logits.clone().requires_grad_(), given["features"].requires_grad_()]
    maps = [stage.requires_grad_() for stage in given["stages"]]
    regime(leaves[0], targets, **given).backward()
    assert leaves[1].grad is None and not leaves[0].grad.any(), "the last layer teaches and is not taught"
    assert all(stage.grad.any() for stage in maps) and all(p.grad.any() for p in regime.heads.parameters())


def test_only_the_last_layer_is_seen_by_the_state_of_the_regime_within():
    logits, targets, given = inputs()
    regime, alone = prepared(of="ols", settings={"ols": {"alpha": 0.3}}), build("ols", 5, alpha=0.3)
    regime(logits, targets, **given), alone(logits, targets)
    report = regime.close_epoch()
    assert report == {f"ols.{key}": value for key, value in alone.close_epoch().items()}
    same_state(regime.inner, alone)
    assert torch.equal(regime.class_targets(), alone.class_targets())


def test_heads_come_back_with_their_weights_and_are_trained():
    regime = prepared()
    again = resumed(regime, build("byot", 5))
    same_state(regime, again)
    logits, targets, given = inputs()
    assert regime(logits, targets, **given) == again(logits, targets, **given)
    (group,) = again.parameter_groups(0.5, 1e-4)
    assert len(group["params"]) == 2 * 11 and group["lr"] == 0.5 and group["weight_decay"] == 1e-4


SETTINGS = {"input": "small", "zero_init_residual": False, "dropout": None, "batch_norm_momentum": None}
FAMILIES = {
    "resnet18": [[64, 32, 32], [128, 16, 16], [256, 8, 8], [512, 4, 4]],
    "resnet20": [[16, 32, 32], [32, 16, 16], [64, 8, 8]],
    "resnext29_2x64d": [[256, 32, 32], [512, 16, 16], [1024, 8, 8]],
    "densenet121": [[128, 16, 16], [256, 8, 8], [512, 4, 4], [1024, 4, 4]],
    "shufflenet_v2_x0_5": [[48, 16, 16], [96, 8, 8], [1024, 4, 4]],
    "mobilenet_v2": [[24, 16, 16], [32, 8, 8], [96, 4, 4], [1280, 2, 2]],
    "vgg11": [[256, 8, 8], [512, 4, 4], [512, 2, 2], [512, 1, 1]],
    "lenet": [[6, 28, 28], [16, 10, 10], [84, 5, 5]],
}


@pytest.mark.parametrize("name", FAMILIES)
def test_stages_of_the_families(name):
    check_stages(name, "here")
    model = classifier.build(name, 3, SETTINGS).train()
    assert model.watch_stages(32) == FAMILIES[name] and model.training
    model.eval()(torch.zeros(2, 3, 32, 32))
    assert [list(stage.shape) for stage in model.stages] == [[2, *shape] for shape in FAMILIES[name][:-1]]


def planned(backbone):
    return configuration.complete(
        {"name": "t", "datasets": {"d": {"root": "."}}, "backbones": [backbone], "runs": ["byot"]}
    )


def test_a_backbone_without_stages_is_told_while_planning_and_when_built():
    checks.check_all(planned("resnet18"))
    with pytest.raises(
        UserError,
        match="run 'byot' needs auxiliary heads on the stages of the network, but the stages of 'vit_b_16'",
    ):
        checks.check_all(planned("vit_b_16"))
    with pytest.raises(UserError, match="stages of the network, which are not known for Sequential"):
        classifier.Classifier(nn.Sequential(nn.Flatten()), nn.Linear(3, 2)).watch_stages(8)
    assert all(
        any(name.startswith(family) for name in [*FAMILIES, "wide_resnet50_2", "efficientnet_b0", "alexnet"])
        for family in WITH_STAGES
    )
