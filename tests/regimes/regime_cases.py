"""Inputs and the comparison all regime tests use: a regime against a written-out float64 loop.

A reference is a function ``reference(z, y, still)``: logits as nested lists of floats, labels, and the logits
that stand where the formula stops the gradient. Derivatives are central differences of the reference.
"""

import math

import pytest
import torch
from calibench.regimes import contract
from calibench.regimes.contract import CASES

each_case = pytest.mark.parametrize("case", CASES)


def softmax(row):
    top = max(row)
    e = [math.exp(v - top) for v in row]
    total = math.fsum(e)
    return [v / total for v in e]


def log_softmax(row):
    top = max(row)
    norm = top + math.log(math.fsum(math.exp(v - top) for v in row))
    return [v - norm for v in row]


def cross_entropy(z, y):
    return math.fsum(-log_softmax(row)[t] for row, t in zip(z, y, strict=True)) / len(y)


def soft_cross_entropy(z, soft):
    """Mean over the batch of -Σ t log p."""
    total = 0.0
    for row, target in zip(z, soft, strict=True):
        for log_p, t in zip(log_softmax(row), target, strict=True):
            total -= t * log_p
    return total / len(z)


def smoothed(y, classes, eps):
    return [[(1 - eps) * (k == t) + eps / classes for k in range(classes)] for t in y]


def argmax(row):
    return max(range(len(row)), key=lambda k: row[k])


def check(regime, reference, case, **extras):
    """Value, type and directional derivatives of ``regime.loss`` against the reference."""
    logits, targets = CASES[case] if isinstance(case, str) else case
    leaf = logits.clone().requires_grad_()
    before = {k: v.clone() for k, v in regime.state_dict().items()}
    loss = regime.loss(leaf, targets, **extras)
    assert loss.dtype == torch.float32 and loss.shape == ()
    for key, value in regime.state_dict().items():
        assert torch.equal(value, before[key]), f"loss() changed {key}"
    z, y = logits.double().tolist(), targets.tolist()
    want = reference(z, y, z)
    assert loss.item() == pytest.approx(want, rel=2e-5, abs=2e-5)
    loss.backward()
    assert leaf.grad.isfinite().all()
    coarse = logits.dtype != torch.float32  # the gradient is rounded to the logits' type
    tolerance = {"rel": 2e-2, "abs": 1e-2} if coarse else {"rel": 1e-3, "abs": 3e-5}
    for direction in directions(logits):
        got = (leaf.grad.double() * direction).sum().item()
        h = 1e-5 if abs(want) < 100 else 1e-3
        up = reference((logits.double() + h * direction).tolist(), y, z)
        down = reference((logits.double() - h * direction).tolist(), y, z)
        assert got == pytest.approx((up - down) / (2 * h), **tolerance)


def directions(logits):
    """Two random directions and one logit of the first sample."""
    generator = torch.Generator().manual_seed(99)
    for _ in range(2):
        yield torch.randn(logits.shape, generator=generator, dtype=torch.float64)
    single = torch.zeros(logits.shape, dtype=torch.float64)
    single[0, 0] = 1
    yield single


def resumed(regime, fresh):
    """``fresh`` with the state of ``regime``, by way of its state_dict."""
    fresh.load_state_dict({k: v.clone() for k, v in regime.state_dict().items()})
    return fresh


def same_state(one, other):
    assert not contract.difference(one, other)
