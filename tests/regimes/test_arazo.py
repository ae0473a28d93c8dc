"""Dynamic bootstrapping against its formula, the mixture against plain loops with SciPy's densities."""

import functools
import math

import numpy as np
import pytest
import torch
from calibench.regimes import build
from calibench.regimes.betamixture import fit, posterior_of_wrong
from calibench.training.step import regime_loss
from regime_cases import CASES, argmax, check, cross_entropy, log_softmax, resumed, softmax
from scipy import stats


@functools.cache
def slow_fit(x):
    """[(alpha, beta, weight)] of both components."""
    parts = [(1.0, 2.0, 0.5), (2.0, 1.0, 0.5)]
    for _ in range(10):
        dense = np.stack([w * stats.beta.pdf(x, a, b) for a, b, w in parts], axis=1).tolist()
        share = [[d / sum(row) for d in row] for row in dense]
        parts = []
        for k in range(2):
            r = [row[k] for row in share]
            mean = sum(a * v for a, v in zip(r, x, strict=True)) / sum(r)
            var = sum(a * (v - mean) ** 2 for a, v in zip(r, x, strict=True)) / sum(r)
            alpha = mean * (mean * (1 - mean) / var - 1)
            parts.append((alpha, alpha * (1 - mean) / mean, sum(r) / len(x)))
    return parts


def slow_posterior(parts, x):
    dense = [w * stats.beta.pdf(x, a, b) for a, b, w in parts]
    return (dense[1] / sum(dense)).tolist()


@pytest.fixture(scope="module")
def losses():
    """Cross-entropies of 300 images, a third of them with wrong labels."""
    draw = np.random.default_rng(0)
    return np.concatenate([draw.gamma(1.0, 0.3, 200), draw.normal(3.0, 0.5, 100).clip(0.1)])


def test_the_mixture_is_that_of_plain_loops(losses):
    x = np.clip(losses / losses.max(), 1e-4, 1 - 1e-4)
    mixture, parts = fit(torch.from_numpy(x)), slow_fit(tuple(x))
    for k, (alpha, beta, weight) in enumerate(parts):
        assert mixture.alpha[k].item() == pytest.approx(alpha)
        assert mixture.beta[k].item() == pytest.approx(beta)
        assert mixture.weight[k].item() == pytest.approx(weight)
    at = torch.linspace(0.01, 0.99, 9, dtype=torch.float64)
    assert posterior_of_wrong(mixture, at).tolist() == pytest.approx(slow_posterior(parts, at.numpy()))


def slow_wrong(seen, losses):
    """B of each loss, after the fit to those seen."""
    low, high = np.percentile(seen, (5, 95))
    inner = [v for v in seen if low <= v <= high]
    parts = slow_fit(tuple(min(max((v - low) / (high - low + 1e-6), 1e-4), 1 - 1e-4) for v in inner))
    table = slow_posterior(parts, np.linspace(1e-12, 1 - 1e-12, 100))
    top = argmax(table)
    table = table[:top] + [max(table)] * (100 - top)
    cells = [int(100 * min(max((v - low) / (high - low + 1e-6), 1e-3), 1 - 1e-3)) for v in losses]
    return [min(max(table[c], 1e-4), 1 - 1e-4) for c in cells]


def logits_with(losses):
    """Logits of two classes and the label 0 with these cross-entropies."""
    z = torch.from_numpy(-np.log(np.expm1(losses))).float()
    return torch.stack([z, torch.zeros_like(z)], dim=1), torch.zeros(len(losses), dtype=torch.int64)


def bootstrapping(losses, classes, **settings):
    """A regime that has seen these losses, in parts, and bootstraps from now on."""
    regime = build("arazo", classes, bootstrap_from=1, **settings)
    regime.prepare(epochs=5)
    assert regime.needs == () and regime.reviews
    for part in np.array_split(losses, 3):
        z, y = logits_with(part)
        regime.review(torch.cat([z, torch.full((len(z), classes - 2), -1e4)], dim=1), y)
    report = regime.close_epoch()
    assert regime.needs == ("plain_logits",)
    return regime, report


@pytest.mark.parametrize("case", ["odd_batch", "missing_class", "even_batch", "bf16"])
@pytest.mark.parametrize("prediction", ["hard", "soft"])
def test_loss_by_the_formula(losses, case, prediction):
    logits, targets = CASES[case]
    k = logits.shape[1]
    regime, report = bootstrapping(losses, k, prediction=prediction, eta=0.7)
    assert report == {"noise": pytest.approx(np.mean(slow_wrong(losses, losses)), rel=1e-3)}
    draw = torch.Generator().manual_seed(5)
    plain, evaluated = (torch.randn(logits.shape, generator=draw) * 2 for _ in range(2))
    y = targets.tolist()
    wrong = slow_wrong(losses, [-log_softmax(row)[t] for row, t in zip(evaluated.tolist(), y, strict=True)])
    assert max(wrong) > 0.5 > min(wrong)

    def reference(z, y, still):
        total = 0.0
        for row, t, b, own in zip(z, y, wrong, plain.double().tolist(), strict=True):
            log_p = log_softmax(row)
            soft = softmax(own) if prediction == "soft" else [float(c == argmax(own)) for c in range(k)]
            total -= (1 - b) * log_p[t] + b * math.fsum(s * v for s, v in zip(soft, log_p, strict=True))
        columns = zip(*(log_softmax(row) for row in z), strict=True)
        log_mean = [
            max(c) + math.log(math.fsum(math.exp(v - max(c)) for v in c) / len(z)) for c in map(list, columns)
        ]
        return total / len(z) + 0.7 * math.fsum(-math.log(k) - v for v in log_mean) / k

    again = resumed(regime, build("arazo", k, bootstrap_from=1, prediction=prediction, eta=0.7))
    assert again.needs == ("plain_logits",)
    check(again, reference, case, plain_logits=plain, eval_logits=evaluated)


def test_it_is_cross_entropy_until_it_bootstraps_and_reviews_from_the_epoch_before():
    regime = build("arazo", 5, bootstrap_from=0.4)
    regime.prepare(epochs=5)
    seen = []
    for _ in range(4):
        check(regime, lambda z, y, still: cross_entropy(z, y), "odd_batch") if not regime.bootstraps else None
        seen.append((regime.bootstraps, regime.reviews, regime.needs))
        regime.close_epoch()
    asked = ("plain_logits",)
    assert seen == [(False, False, ()), (False, True, ()), (True, True, asked), (True, True, asked)]


def test_losses_that_are_all_alike_leave_finite_numbers():
    regime, report = bootstrapping(np.full(50, 0.7), 3)
    assert regime.table.isfinite().all() and 0 <= report["noise"] <= 1


class Mixed:
    lam, partner = 0.3, torch.tensor([2, 0, 1])

    def dominant(self, targets):
        return targets[self.partner]


def test_of_a_mixed_batch_each_label_goes_with_the_predictions_of_its_own_image(losses):
    regime, _ = bootstrapping(losses, 4, eta=0.0)
    draw = torch.Generator().manual_seed(1)
    z, plain, evaluated = (torch.randn(3, 4, generator=draw) * 2 for _ in range(3))
    targets, other = torch.tensor([0, 1, 3]), Mixed.partner
    got = regime_loss(regime, z, targets, Mixed(), {"plain_logits": plain, "eval_logits": evaluated})
    own = regime.loss(z, targets, plain_logits=plain, eval_logits=evaluated)
    theirs = regime.loss(z, targets[other], plain_logits=plain[other], eval_logits=evaluated[other])
    assert got.item() == pytest.approx((0.3 * own + 0.7 * theirs).item())
