"""Regimes whose soft label comes from elsewhere: another run's predictions or matrix, or validation."""

import logging
import math

import numpy as np
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
    resumed,
    same_state,
    smoothed,
    soft_cross_entropy,
)

OLS = {"alpha": 0.5, "weights": "mix"}


def validation(k, n=40, seed=5, missing=None):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, k, generator=generator)
    targets = torch.randint(k, (n,), generator=generator)
    if missing is not None:
        targets[targets == missing] = (missing + 1) % k
    logits[torch.arange(n), targets] += 1.0
    return logits, targets


def accuracies(logits, targets, k):
    right = [argmax(row) == t for row, t in zip(logits.tolist(), targets.tolist(), strict=True)]
    result = []
    for c in range(k):
        of_class = [r for r, t in zip(right, targets.tolist(), strict=True) if t == c]
        result.append(sum(of_class) / len(of_class) if of_class else sum(right) / len(right))
    return result


@each_case
@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_lsplus(case, alpha):
    k = CASES[case][0].shape[1]
    logits, targets = validation(k, missing=1)
    accuracy = accuracies(logits, targets, k)

    def reference(z, y, still):
        total = 0.0
        for row, t in zip(z, y, strict=True):
            v = [accuracy[t] if c == t else (1 - accuracy[t]) / (k - 1) for c in range(k)]
            total += math.fsum(
                a * (math.log(a) - b) for a, b in zip(v, log_softmax(row), strict=True) if a > 0
            )
        return (1 - alpha) * cross_entropy(z, y) + alpha * total / len(y)

    regime = build("lsplus", k, alpha=alpha)
    regime.prepare(val_logits=logits.numpy(), val_targets=targets.numpy(), train_size=3)
    check(regime, reference, case)


def test_lsplus_with_perfect_classes_is_cross_entropy():
    logits, targets = CASES["odd_batch"]
    regime = build("lsplus", 5)
    regime.prepare(val_logits=np.eye(5), val_targets=np.arange(5))
    assert regime(logits, targets).item() == pytest.approx(
        cross_entropy(logits.double().tolist(), targets.tolist()), rel=1e-5
    )


def test_an_unprepared_regime_says_so_and_a_resumed_one_is_prepared():
    logits, targets = CASES["odd_batch"]
    for name, inputs in {
        "lsplus": {"val_logits": logits, "val_targets": targets},
        "pt_lspp": {"matrix": torch.eye(5)},
        "ls_matched": {"matrix": torch.eye(5), "other_settings": OLS},
    }.items():
        with pytest.raises(UserError, match=f"'{name}' needs .*prepare"):
            build(name, 5)(logits, targets)
        with pytest.raises(UserError, match=f"'{name}' needs '"):
            build(name, 5).prepare()
        regime = build(name, 5)
        regime.prepare(**inputs)
        again = resumed(regime, build(name, 5))
        same_state(regime, again)
        assert torch.equal(regime(logits, targets), again(logits, targets))


@pytest.mark.parametrize("name", ["pt_lspp", "ls_matched"])
@pytest.mark.parametrize("matrix", [np.eye(4), -np.eye(5), np.ones((5, 5)), np.full((5, 5), np.nan)])
def test_a_matrix_that_does_not_fit_is_refused(name, matrix):
    with pytest.raises(UserError, match=f"{name}: .*other run's matrix"):
        build(name, 5).prepare(matrix=matrix, other_settings=OLS)


def test_lsplus_refuses_predictions_of_other_classes():
    with pytest.raises(UserError, match="lsplus: the validation logits of '{backbone}/hard'"):
        build("lsplus", 5).prepare(val_logits=np.zeros((3, 4)), val_targets=np.zeros(3))


def random_matrix(k, diagonal=True):
    matrix = torch.rand(k, k, generator=torch.Generator().manual_seed(k))
    if not diagonal:
        matrix.fill_diagonal_(0)
    return matrix / matrix.sum(1, keepdim=True)


@each_case
def test_pt_lspp(case):
    k = CASES[case][0].shape[1]
    matrix = random_matrix(k, diagonal=False)

    def reference(z, y, still):
        soft = [matrix[t].tolist() for t in y]
        return 0.9 * cross_entropy(z, y) + 0.1 * soft_cross_entropy(z, soft)

    regime = build("pt_lspp", k)
    regime.prepare(matrix=matrix)
    check(regime, reference, case)


@each_case
def test_ls_matched(case):
    k = CASES[case][0].shape[1]
    matrix = random_matrix(k)
    wrong = sum(1 - matrix[i][i].item() for i in range(k)) / k
    eps = min(0.5 * wrong * k / (k - 1), 1)
    regime = build("ls_matched", k)
    regime.prepare(matrix=matrix, other_settings=OLS)
    check(regime, lambda z, y, still: soft_cross_entropy(z, smoothed(y, k, eps)), case)
    assert regime.close_epoch()["equivalent_eps"] == pytest.approx(eps, rel=1e-5)


@pytest.mark.parametrize(
    ("own", "ols", "soft"),
    [
        (None, {"alpha": 0.3, "weights": "mix"}, 0.7),
        (None, {"alpha": 0.3, "weights": "sum"}, 0.5),
        (0.1, OLS, 0.9),
    ],
)
def test_ls_matched_gives_the_wrong_classes_what_ols_gives_them(own, ols, soft):
    regime = build("ls_matched", 4, alpha=own)
    regime.prepare(matrix=random_matrix(4), other_settings=ols)
    wrong = soft * (1 - random_matrix(4).diagonal()).mean()
    assert regime.eps.item() * 3 / 4 == pytest.approx(wrong.item(), rel=1e-5)


def test_ls_matched_asks_for_alpha_where_the_other_run_has_none():
    with pytest.raises(UserError, match="has no setting alpha; set ls_matched: alpha"):
        build("ls_matched", 5).prepare(matrix=torch.eye(5), other_settings={})


@each_case
def test_cpls(case, caplog):
    k = CASES[case][0].shape[1]
    regime = build("cpls", k, eps=0.2)
    confusions = [[0] * k for _ in range(k)]

    def reference(z, y, still):
        soft = []
        for t in y:
            counts = [confusions[t][c] + 1 if c != t else 0 for c in range(k)]
            soft.append([0.8 * (c == t) + 0.2 * n / sum(counts) for c, n in enumerate(counts)])
        return soft_cross_entropy(z, soft)

    check(regime, reference, case)
    for seed in (1, 2):  # the second validation replaces the first
        logits, targets = validation(k, seed=seed)
        with caplog.at_level(logging.WARNING):
            regime.validated(logits, targets)
        report = regime.close_epoch()
    for row, t in zip(logits.tolist(), targets.tolist(), strict=True):
        if argmax(row) != t:
            confusions[t][argmax(row)] += 1
    assert report["confusions"] == sum(map(sum, confusions))
    check(regime, reference, case)
    again = resumed(regime, build("cpls", k, eps=0.2))
    check(again, reference, case)
    assert "uses the validation images" in caplog.text
