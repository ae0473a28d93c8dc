import math

import pytest
import torch
from calibench.errors import UserError
from calibench.regimes import OLS
from hypothesis import given, settings
from hypothesis import strategies as st
from regime_cases import (
    CASES,
    argmax,
    check,
    cross_entropy,
    each_case,
    resumed,
    same_state,
    soft_cross_entropy,
    softmax,
)


class Loop:
    """OLS with lists: one sample after the other, float64."""

    def __init__(self, k, fallback="uniform", freeze=None, start="uniform"):
        self.k, self.fallback, self.freeze = k, fallback, freeze
        self.matrix = [[1 / k if start == "uniform" else 0.0] * k for _ in range(k)]
        self.frozen = [False] * k
        self.clear()

    def clear(self):
        self.total = [[0.0] * self.k for _ in range(self.k)]
        self.seen = [0] * self.k

    def observe(self, z, y):
        for row, t in zip(z, y, strict=True):
            if argmax(row) == t:
                self.seen[t] += 1
                for c, p in enumerate(softmax(row)):
                    self.total[t][c] += p

    def close(self):
        """Renew; returns (classes that fell back, correct predictions)."""
        result = sum(n == 0 for n in self.seen), sum(self.seen)
        for t in range(self.k):
            if self.frozen[t]:
                continue
            if self.seen[t]:
                self.matrix[t] = [v / self.seen[t] for v in self.total[t]]
                self.frozen[t] = self.freeze is not None and max(self.matrix[t]) >= self.freeze
            elif self.fallback != "keep":
                self.matrix[t] = [1 / self.k if self.fallback == "uniform" else 0.0] * self.k
        self.clear()
        return result


def batches(k, n=4, size=6, seed=0, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n):
        logits = torch.randn(size, k, generator=generator) * scale
        targets = torch.randint(k, (size,), generator=generator)
        logits[torch.arange(size), targets] += scale  # right about half the time
        yield logits, targets


def close_to(regime, loop):
    return torch.allclose(regime.matrix.double(), torch.tensor(loop.matrix, dtype=torch.float64), atol=1e-6)


@each_case
@pytest.mark.parametrize("weights, start", [("mix", "uniform"), ("sum", "zeros")])
def test_loss_before_and_after_an_epoch(case, weights, start):
    logits, targets = CASES[case]
    k = logits.shape[1]
    regime, loop = OLS(k, alpha=0.3, weights=weights, start=start), Loop(k, start=start)
    hard, soft = (0.3, 0.7) if weights == "mix" else (1, 1)

    def reference(z, y, still):
        return hard * cross_entropy(z, y) + soft * soft_cross_entropy(z, [loop.matrix[t] for t in y])

    check(regime, reference, case)
    for seen in ((logits, targets), (logits, logits.float().argmax(1))):
        regime(*seen)
        loop.observe(seen[0].double().tolist(), seen[1].tolist())
    regime.close_epoch()
    loop.close()
    assert close_to(regime, loop)
    check(regime, reference, case)


@pytest.mark.parametrize("fallback", ["uniform", "zeros", "keep"])
@pytest.mark.parametrize("freeze", [None, 0.88])
@pytest.mark.parametrize("k", [2, 5])
def test_three_epochs_and_the_report(fallback, freeze, k):
    regime, loop = OLS(k, fallback=fallback, freeze=freeze), Loop(k, fallback, freeze)
    for epoch in range(3):
        for logits, targets in batches(k, seed=epoch):
            if epoch == 1:
                logits[targets == 0, 0] = -50.0  # class 0 is never right in this epoch
            regime(logits, targets)
            loop.observe(logits.double().tolist(), targets.tolist())
        report = regime.close_epoch()
        fallen, correct = loop.close()
        rows = [r for r in loop.matrix if sum(r) > 0]
        mean_entropy = sum(-sum(v * math.log(v) for v in r if v > 0) for r in rows) / len(rows)
        assert close_to(regime, loop)
        assert report["fallback_classes"] == fallen and report["correct_updates"] == correct
        assert report["matrix_entropy"] == pytest.approx(mean_entropy, rel=1e-5)
        assert fallen > 0 or epoch != 1


def test_an_epoch_without_any_correct_prediction_gives_the_fallback():
    regime = OLS(3)
    regime(torch.tensor([[0.0, 5.0, 0.0]]), torch.tensor([2]))
    assert regime.close_epoch() == {
        "matrix_entropy": pytest.approx(math.log(3)),
        "fallback_classes": 3,
        "correct_updates": 0,
    }
    assert torch.allclose(regime.matrix, torch.full((3, 3), 1 / 3))


def test_a_frozen_row_stays_and_the_others_move():
    regime = OLS(2, freeze=0.88)
    regime(torch.tensor([[9.0, 0.0], [0.0, 0.1]]), torch.tensor([0, 1]))
    regime.close_epoch()
    first = regime.matrix.clone()
    regime(torch.tensor([[0.1, 0.0], [0.0, 0.3]]), torch.tensor([0, 1]))
    regime.close_epoch()
    assert torch.equal(regime.matrix[0], first[0]) and not torch.equal(regime.matrix[1], first[1])


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6), st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 10**6))
def test_rows_are_distributions_whatever_the_batches(k, sizes, seed):
    regime, loop = OLS(k), Loop(k)
    for i, size in enumerate(sizes):
        for logits, targets in batches(k, 1, size, seed + i):
            regime(logits, targets)
            loop.observe(logits.double().tolist(), targets.tolist())
    regime.close_epoch()
    loop.close()
    assert close_to(regime, loop)
    assert torch.allclose(regime.matrix.sum(1), torch.ones(k))


def test_the_matrix_is_renewed_every_so_many_batches():
    regime, loop = OLS(3, update_every=3), Loop(3)
    for step, (logits, targets) in enumerate(batches(3, n=8), start=1):
        regime(logits, targets)
        loop.observe(logits.double().tolist(), targets.tolist())
        if step % 3 == 0:
            loop.close()
        if step == 4:
            kept = regime.matrix.clone()
            regime.close_epoch()  # an epoch's end changes nothing in this mode
            assert torch.equal(kept, regime.matrix)
        assert close_to(regime, loop)


def test_a_state_loaded_into_a_used_regime_counts_its_own_steps():
    stream = list(batches(3, n=6))
    source, used, again = (OLS(3, update_every=3) for _ in range(3))
    source(*stream[0])
    for batch in stream[:2]:
        used(*batch)
    resumed(source, used), resumed(source, again)
    for batch in stream[2:]:
        used(*batch), again(*batch)
    same_state(used, again)


@pytest.mark.parametrize("options", [{}, {"update_every": 3}, {"freeze": 0.6, "fallback": "keep"}])
@pytest.mark.parametrize("cut", [1, 4, 5])
def test_resume_is_exact(options, cut):
    stream = list(batches(4, n=8))

    def play(regime, steps):
        for step in steps:
            regime(*stream[step])
            if step == 3:
                regime.close_epoch()
        return regime

    straight = play(OLS(4, **options), range(8))
    half = play(OLS(4, **options), range(cut))
    again = play(resumed(half, OLS(4, **options)), range(cut, 8))
    same_state(straight, again)
    assert straight.close_epoch() == again.close_epoch()
    same_state(straight, again)


def test_only_training_mode_observes_and_no_gradient_is_kept():
    logits, targets = CASES["odd_batch"]
    regime = OLS(5).eval()
    regime(logits, targets)
    assert regime.counts.sum() == 0
    leaf = logits.clone().requires_grad_()
    regime.train()(leaf, leaf.detach().argmax(1))
    assert regime.counts.sum() == 7 and not regime.accumulator.requires_grad


def test_bf16_autocast_does_not_reach_the_accumulator():
    logits, targets = next(batches(4, size=32))
    plain, cast = OLS(4), OLS(4)
    plain(logits, targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast(logits, targets)
    same_state(plain, cast)


def test_a_wrong_sample_that_overflowed_leaves_the_matrix_alone():
    regime = OLS(2)
    regime(torch.tensor([[float("nan"), 0.0], [3.0, 0.0]]), torch.tensor([1, 0]))
    regime.close_epoch()
    assert regime.matrix.isfinite().all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha": 2},
        {"weights": "both"},
        {"start": 0},
        {"fallback": "none"},
        {"freeze": 0},
        {"update_every": 0.5},
    ],
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(UserError, match=f"ols: {next(iter(wrong))} is"):
        OLS(3, **wrong)
