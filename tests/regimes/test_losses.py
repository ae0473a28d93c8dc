"""Regimes without state: each against its formula, written out."""

import math

import pytest
import torch
from calibench.errors import UserError
from calibench.regimes import build
from regime_cases import (
    CASES,
    argmax,
    check,
    cross_entropy,
    each_case,
    log_softmax,
    smoothed,
    soft_cross_entropy,
    softmax,
)


def mean(values):
    values = list(values)
    return math.fsum(values) / len(values)


def focal(gamma_of):
    def loss(z, y, still):
        total = []
        for row, t, old in zip(z, y, still, strict=True):
            wrong = math.fsum(p for k, p in enumerate(softmax(row)) if k != t)
            total.append(-(wrong ** gamma_of(softmax(old)[t])) * log_softmax(row)[t])
        return mean(total)

    return loss


def dca(beta):
    def loss(z, y, still):
        confidence = mean(max(softmax(row)) for row in z)
        accuracy = mean(argmax(row) == t for row, t in zip(still, y, strict=True))
        return cross_entropy(z, y) + beta * abs(confidence - accuracy)

    return loss


def mdca(z, y, still):
    k, p = len(z[0]), [softmax(row) for row in z]
    gaps = [abs(mean(row[c] for row in p) - mean(t == c for t in y)) for c in range(k)]
    return cross_entropy(z, y) + mean(gaps)


def mbls(margin, alpha, total):
    def loss(z, y, still):
        excess = [[max(max(row) - v - margin, 0) for v in row] for row in z]
        per_sample = [sum(row) if total else mean(row) for row in excess]
        return cross_entropy(z, y) + alpha * mean(per_sample)

    return loss


def entropy(row):
    return -math.fsum(p * lp for p, lp in zip(softmax(row), log_softmax(row), strict=True))


def boot_hard(z, y, still):
    return 0.8 * cross_entropy(z, y) + 0.2 * cross_entropy(z, [argmax(row) for row in still])


def sce(alpha, beta, a):
    def loss(z, y, still):
        reverse = 0.0
        for row, t in zip(z, y, strict=True):
            for k, p in enumerate(softmax(row)):
                reverse -= p * (0.0 if k == t else -a)  # log of the one-hot label, log 0 = -A
        return alpha * cross_entropy(z, y) + beta * reverse / len(y)

    return loss


def pairwise(lam, only_different):
    def loss(z, y, still):
        half, total = len(y) // 2, 0.0
        for i in range(half):
            j = i + half
            if only_different and y[i] == y[j]:
                continue
            total += math.dist(softmax(z[i]), softmax(z[j]))
        return cross_entropy(z, y) + lam * total / len(y)

    return loss


def maxsup(z, y, still):
    return cross_entropy(z, y) + 0.1 * mean(max(row) - mean(row) for row in z)


def ls_entropy(z, y, still):
    return soft_cross_entropy(z, smoothed(y, len(z[0]), 0.05)) - 0.1 * mean(map(entropy, z))


def acls(alpha, pos, neg, margin):
    def loss(z, y, still):
        high, low = [], []
        for row, old in zip(z, still, strict=True):
            top = argmax(old)
            high.append(max(row[top] - margin, 0) ** 2)
            low += [max(old[top] - v - margin, 0) ** 2 for k, v in enumerate(row) if k != top]
        return cross_entropy(z, y) + alpha * (pos * mean(high) + neg * mean(low))

    return loss


def dual_focal(gamma):
    def loss(z, y, still):
        total = []
        for row, t in zip(z, y, strict=True):
            p = softmax(row)
            wrong = math.fsum(v for k, v in enumerate(p) if k != t)
            below = max((p[k] for k in range(len(p)) if row[k] < row[t]), default=0.0)
            total.append(-((wrong + below) ** gamma) * log_softmax(row)[t])
        return mean(total)

    return loss


def bsce(gamma, q, detached):
    def loss(z, y, still):
        total = []
        for row, t, old in zip(z, y, still, strict=True):
            p = softmax(old if detached else row)
            gaps = [
                math.fsum(v for j, v in enumerate(p) if j != t) if k == t else p[k] for k in range(len(p))
            ]
            total.append(-(math.fsum(g**q for g in gaps) ** (gamma / q)) * log_softmax(row)[t])
        return mean(total)

    return loss


LOSSES = [
    ("focal", {}, focal(lambda p: 3)),
    ("focal", {"gamma": 1.5}, focal(lambda p: 1.5)),
    ("focal", {"gamma": 0.0}, lambda z, y, still: cross_entropy(z, y)),
    ("flsd53", {}, focal(lambda p: 5 if p < 0.2 else 3)),
    ("dca", {}, dca(10)),
    ("dca", {"beta": 1.0}, dca(1)),
    ("mdca", {}, mdca),
    ("mbls", {}, mbls(10, 0.1, False)),
    ("mbls", {"margin": 1.0, "over_classes": "sum"}, mbls(1, 0.1, True)),
    ("ecp", {}, lambda z, y, still: cross_entropy(z, y) - 0.1 * mean(map(entropy, z))),
    ("boot_soft", {}, lambda z, y, still: 0.95 * cross_entropy(z, y) + 0.05 * mean(map(entropy, z))),
    ("boot_hard", {}, boot_hard),
    ("sce", {}, sce(6, 0.1, -math.log(1e-4))),
    ("sce", {"alpha": 0.1, "beta": 1.0, "A": 4.0}, sce(0.1, 1, 4)),
    ("pairwise_confusion", {}, pairwise(10, True)),
    ("pairwise_confusion", {"only_different": False}, pairwise(10, False)),
    ("maxsup", {}, maxsup),
    ("ls_entropy", {}, ls_entropy),
    ("acls", {}, acls(0.1, 1, 0.1, 10)),
    ("acls", {"alpha": 1.0, "neg": 0.5, "margin": 0.5}, acls(1, 1, 0.5, 0.5)),
    ("dual_focal", {}, dual_focal(5)),
    ("dual_focal", {"gamma": 0.5}, dual_focal(0.5)),
    ("bsce_gra", {}, bsce(4, 2, True)),
    ("bsce_gra", {"gamma": 1.0, "q": 1.0}, bsce(1, 1, True)),
    ("bsce_gra", {"gamma": 3.0, "weight": "differentiated"}, bsce(3, 2, False)),
]


@each_case
@pytest.mark.parametrize("name, settings, reference", LOSSES, ids=lambda v: str(v) if not callable(v) else "")
def test_formula(case, name, settings, reference):
    check(build(name, CASES[case][0].shape[1], **settings), reference, case)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("name", ["focal", "dual_focal", "bsce_gra", "bsce_gra differentiated"])
def test_focal_gradient_is_finite_for_a_sure_sample(name, gamma):
    logits = torch.tensor([[1e4, -1e4], [0.0, 50.0]], requires_grad=True)
    settings = {"weight": "differentiated"} if " " in name else {}
    build(name.split()[0], 2, gamma=gamma, **settings)(logits, torch.tensor([0, 1])).backward()
    assert logits.grad.isfinite().all()


def test_disturb_is_a_function_of_its_seed_and_replaces_the_stated_share():
    regime, targets = build("disturb", 5), torch.arange(5).repeat(4000)
    first, again, other = (regime.disturbed(targets, seed) for seed in (7, 7, 8))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.min() >= 0 and first.max() < 5
    changed = first != targets
    assert changed.float().mean().item() == pytest.approx(0.1 * 4 / 5, abs=0.008)
    shares = torch.bincount((first - targets)[changed] % 5, minlength=5)[1:] / changed.sum()
    assert torch.allclose(shares, torch.full((4,), 0.25), atol=0.04)


@each_case
def test_disturb_is_cross_entropy_with_the_disturbed_labels(case):
    k = CASES[case][0].shape[1]
    regime = build("disturb", k, rate=1.0)
    labels = regime.disturbed(CASES[case][1], 3).tolist()
    check(regime, lambda z, y, still: cross_entropy(z, labels), case, step_seed=3)
    check(regime.eval(), lambda z, y, still: cross_entropy(z, y), case, step_seed=3)


@pytest.mark.parametrize(
    "name, wrong",
    [
        ("focal", {"gamma": -1}),
        ("dca", {"beta": -1}),
        ("mdca", {"beta": "1"}),
        ("mbls", {"over_classes": "max"}),
        ("ecp", {"beta": None}),
        ("boot_soft", {"beta": 1.1}),
        ("boot_hard", {"beta": -0.1}),
        ("disturb", {"rate": 2}),
        ("sce", {"A": 0}),
        ("pairwise_confusion", {"lam": -1}),
        ("kd", {"T": 0}),
        ("tfkd_self", {"multiplier": -1}),
        ("tfkd_reg", {"T": 0}),
        ("lsplus", {"alpha": 2}),
        ("lspp", {"alpha": 1}),
        ("lspp", {"objective": "sum"}),
        ("pt_lspp", {"alpha": -1}),
        ("ls_matched", {"alpha": 2}),
        ("cpls", {"eps": 2}),
        ("zipf", {"mode": "votes"}),
        ("ols_single", {"alpha": 2}),
        ("ols_flat", {"fallback": 1}),
        ("maxsup", {"lam": -1}),
        ("maxsup", {"lam_end": "0.2"}),
        ("ls_entropy", {"eps": 2}),
        ("acls", {"margin": -1}),
        ("dual_focal", {"gamma": -1}),
        ("bsce_gra", {"q": 0.5}),
        ("bsce_gra", {"weight": True}),
        ("cals", {"margin": 0}),
        ("cals", {"rho_max": 0.5}),
        ("cals", {"rho_every": 0}),
        ("arazo", {"prediction": "best"}),
        ("arazo", {"eta": -1}),
        ("pencil", {"label_lr": -1}),
        ("byot", {"shallow": -1}),
        ("byot", {"T": 0}),
        ("data_distortion", {"T": 0}),
        ("data_distortion", {"mmd": "matrix"}),
        ("pencil", {"compatibility": "paper"}),
    ],
)
def test_wrong_settings_are_named(name, wrong):
    with pytest.raises(UserError, match=f"{name}: {next(iter(wrong))} is"):
        build(name, 3, **wrong)
