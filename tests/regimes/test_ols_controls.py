"""The variants of OLS that tell what its class structure is worth."""

import pytest
import torch
from calibench.errors import UserError
from calibench.regimes import OLS, build
from regime_cases import (
    CASES,
    check,
    cross_entropy,
    each_case,
    resumed,
    same_state,
    soft_cross_entropy,
    softmax,
)


def epoch(regime, k, seed=0, n=5, size=8):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n):
        logits = torch.randn(size, k, generator=generator) * 3
        regime(
            logits, logits.argmax(1) if seed else logits.argmax(1).clamp(max=k - 2)
        )  # class K-1 is never right
    return regime.close_epoch()


@pytest.mark.parametrize("k", [2, 3, 6])
@pytest.mark.parametrize("fallback", ["uniform", "zeros", "keep"])
def test_same_confidence_other_structure(k, fallback):
    plain, flat, shuffled = (build(n, k, fallback=fallback) for n in ("ols", "ols_flat", "ols_shuffled"))
    for seed in (1, 0, 0):
        reports = [epoch(r, k, seed) for r in (plain, flat, shuffled)]
        assert len({r["fallback_classes"] for r in reports}) == 1
        assert torch.allclose(plain.matrix.diagonal(), flat.matrix.diagonal())
        assert torch.equal(plain.matrix.diagonal(), shuffled.matrix.diagonal())
        for row in range(k):
            p, f, s = (r.matrix[row].tolist() for r in (plain, flat, shuffled))
            others = [c for c in range(k) if c != row]
            assert sorted(p[c] for c in others) == sorted(s[c] for c in others)
            rest = sum(p[c] for c in others) / (k - 1)
            assert all(f[c] == pytest.approx(rest, abs=1e-6) for c in others)
        assert reports[2]["matrix_entropy"] == pytest.approx(reports[0]["matrix_entropy"], rel=1e-5)


def test_the_permutations_depend_on_the_class_and_the_seed_and_stay():
    one, same, other = (build("ols_shuffled", 12, seed=s) for s in (0, 0, 1))
    assert torch.equal(one.order, same.order) and not torch.equal(one.order, other.order)
    assert torch.equal(one.order.sort(1).values, torch.arange(12).repeat(12, 1))
    assert torch.equal(one.order.diagonal(), torch.arange(12))
    before = one.order.clone()
    epoch(one, 12)
    assert torch.equal(before, one.order)


@each_case
@pytest.mark.parametrize("name", ["ols_flat", "ols_shuffled"])
def test_their_loss_is_that_of_ols_with_their_matrix(case, name):
    k = CASES[case][0].shape[1]
    regime = build(name, k, alpha=0.4)
    epoch(regime, k, seed=2)
    matrix = regime.matrix.double().tolist()

    def reference(z, y, still):
        return 0.4 * cross_entropy(z, y) + 0.6 * soft_cross_entropy(z, [matrix[t] for t in y])

    check(regime, reference, case)
    assert isinstance(regime, OLS)


N = 12


def single(k=3, prepared=True):
    regime = build("ols_single", k)
    if prepared:
        regime.prepare(train_size=N)
    return regime


def labels(k=3):
    return torch.tensor([0, 1] * 5 + [0, 2])  # class 2 has a single image


def run_epoch(regime, seed, samples=range(N), until=None, k=3):
    """Batches of 4 in a shuffled order; returns the predictions seen, by sample."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.tensor(list(samples))[torch.randperm(len(samples), generator=generator)]
    seen = {}
    for step, sample in enumerate(order.split(4)[:until]):
        logits = torch.randn(len(sample), k, generator=generator) * 2
        regime(logits, labels()[sample], sample=sample, step_seed=1000 * seed + step)
        seen |= {i: softmax(row) for i, row in zip(sample.tolist(), logits.double().tolist(), strict=True)}
    return seen


def test_single_takes_the_prediction_of_another_image_of_the_class():
    regime, sample = single(), torch.arange(N)
    seen = run_epoch(regime, 0)
    regime.close_epoch()
    met = {i: set() for i in range(N)}
    for seed in range(200):
        soft = regime.soft_targets(labels(), sample, seed).double()
        for i in range(N):
            fits = [j for j in seen if torch.allclose(soft[i], torch.tensor(seen[j]).double(), atol=1e-3)]
            met[i] |= set(fits) or {None}
    for i in range(N):
        others = {j for j in range(N) if j != i and labels()[j] == labels()[i]}
        assert met[i] == (others or {None})
    assert torch.allclose(regime.soft_targets(labels(), sample, 0)[-1], torch.full((3,), 1 / 3))


def test_single_formula_with_uniform_first_epoch_and_then_the_drawn_rows():
    regime = single()
    case = (torch.randn(5, 3, generator=torch.Generator().manual_seed(1)), labels()[:5])
    sample = torch.arange(5)

    def against(rows):
        return lambda z, y, still: 0.5 * cross_entropy(z, y) + 0.5 * soft_cross_entropy(z, rows)

    check(regime, against([[1 / 3] * 3] * 5), case, sample=sample, step_seed=3)
    run_epoch(regime, 0)
    check(
        regime, against([[1 / 3] * 3] * 5), case, sample=sample, step_seed=3
    )  # nothing before the epoch ends
    regime.close_epoch()
    drawn = regime.soft_targets(case[1], sample, 3).double().tolist()
    assert drawn != [[1 / 3] * 3] * 5
    check(regime, against(drawn), case, sample=sample, step_seed=3)


def test_single_keeps_older_predictions_of_images_an_epoch_left_out():
    regime = single()
    first = run_epoch(regime, 0)
    regime.close_epoch()
    second = run_epoch(regime, 1, range(0, 8))
    assert regime.close_epoch() == {"single_classes": 1}
    expected = torch.tensor([(second.get(i) or first[i]) for i in range(N)])
    assert torch.allclose(regime.last.float(), expected, atol=1e-3)


def test_single_with_images_not_seen_yet():
    regime = single()
    run_epoch(regime, 0, [0, 1, 2])
    regime.close_epoch()
    soft = regime.soft_targets(labels(), torch.arange(N), 5)
    assert torch.allclose(soft.sum(1), torch.ones(N))
    assert torch.allclose(soft[3], regime.last[1].float(), atol=1e-3)  # the only seen image of class 1
    assert torch.allclose(soft[1], torch.full((3,), 1 / 3))  # it has no other


@pytest.mark.parametrize("prepared", [True, False])
def test_single_resumes_in_the_middle_of_an_epoch(prepared):
    straight, half = single(), single()
    for regime in (straight, half):
        run_epoch(regime, 0)
        regime.close_epoch()
        run_epoch(regime, 1, until=2 if regime is half else None)
    again = resumed(half, single(prepared=prepared))
    generator = torch.Generator().manual_seed(1)
    order = torch.randperm(N, generator=generator)
    for step, sample in enumerate(order.split(4)):
        logits = torch.randn(4, 3, generator=generator) * 2
        if step >= 2:
            again(logits, labels()[sample], sample=sample, step_seed=1000 + step)
    straight.close_epoch(), again.close_epoch()
    same_state(straight, again)


def test_single_wants_to_know_the_number_of_images():
    with pytest.raises(UserError, match="ols_single"):
        single(prepared=False)(torch.zeros(1, 3), torch.tensor([0]), sample=torch.tensor([0]), step_seed=0)
    with pytest.raises(UserError, match="train_size is 0"):
        build("ols_single", 3).prepare(train_size=0)
