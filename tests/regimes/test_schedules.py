"""Regimes whose weights change from epoch to epoch: each against its formula, epoch by epoch."""

import math

import pytest
import torch
from calibench.errors import UserError
from calibench.regimes import build
from regime_cases import CASES, check, cross_entropy, each_case, resumed


def test_the_weight_of_maxsup_rises_towards_its_end_and_survives_a_resume():
    regime = build("maxsup", 5, lam=0.1, lam_end=0.2)
    with pytest.raises(UserError, match="'maxsup' needs 'epochs' before training"):
        regime.prepare()
    with pytest.raises(UserError, match="maxsup: epochs is 0"):
        regime.prepare(epochs=0)
    regime.prepare(epochs=4)
    for epoch in range(4):
        lam = 0.1 + 0.1 * epoch / 4

        def reference(z, y, still, lam=lam):
            excess = [max(row) - math.fsum(row) / len(row) for row in z]
            return cross_entropy(z, y) + lam * math.fsum(excess) / len(excess)

        check(regime, reference, "odd_batch")
        assert regime.close_epoch() == {"lam": pytest.approx(lam)}
        regime = resumed(regime, build("maxsup", 5, lam=0.1, lam_end=0.2))


class SlowCALS:
    """Its multipliers by the written formula, class by class."""

    def __init__(self, classes, margin, every):
        self.margin, self.every, self.epoch = margin, every, 0
        self.lam, self.rho, self.last = [1e-6] * classes, [1.0] * classes, None

    def distances(self, row):
        return [(max(row) - v - self.margin) / self.margin for v in row]

    def penalty(self, z):
        total = 0.0
        for row in z:
            for h, lam, rho in zip(self.distances(row), self.lam, self.rho, strict=True):
                x = lam + rho * h
                total += (x**2 - lam**2) / (2 * rho) if x >= 0 else -(lam**2) / (2 * rho)
        return total / (len(z) * len(z[0]))

    def validated(self, z):
        h = [self.distances(row) for row in z]
        means = [math.fsum(column) / len(z) for column in zip(*h, strict=True)]
        for k in range(len(self.lam)):
            values = [min(max(self.lam[k] + self.rho[k] * row[k], 1e-6), 1e6) for row in h]
            self.lam[k] = math.fsum(values) / len(values)
        self.epoch += 1
        if self.epoch % self.every == 0 and self.last is not None:
            for k, mean in enumerate(means):
                if mean > 0.9 * max(self.last[k], 0):
                    self.rho[k] = min(1.2 * self.rho[k], 10)
        self.last = means


@each_case
def test_cals_follows_its_multipliers(case):
    logits, targets = CASES[case]
    k = logits.shape[1]
    regime, slow = build("cals", k, margin=1.5, rho_every=2), SlowCALS(k, 1.5, 2)
    for epoch in range(4):
        check(regime, lambda z, y, still: cross_entropy(z, y) + slow.penalty(z), case)
        seen = logits * (1 + epoch % 2)
        regime.validated(seen, targets)
        slow.validated(seen.double().tolist())
        regime.close_epoch()
        assert torch.allclose(regime.lam.double(), torch.tensor(slow.lam, dtype=torch.double), rtol=1e-4)
        assert regime.rho.tolist() == pytest.approx(slow.rho)
    assert case == "extreme" or max(slow.rho) > 1


def test_cals_summed_over_the_classes_is_the_mean_times_their_number():
    logits, targets = CASES["odd_batch"]
    settings = {"margin": 0.5, "rho": 3.0}
    hard = build("hard", 5)(logits, targets)
    mean = build("cals", 5, **settings)(logits, targets) - hard
    total = build("cals", 5, over_classes="sum", **settings)(logits, targets) - hard
    assert mean > 0 and total.item() == pytest.approx(5 * mean.item(), rel=1e-5)
