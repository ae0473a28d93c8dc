import math

import pytest
import torch
from calibench.regimes import LS, TfKDReg
from regime_cases import CASES, check, cross_entropy, each_case, log_softmax, softmax


def reference(k, alpha, T, a, m, tempered=False):
    def loss(z, y, still):
        divergence = 0.0
        for row, t in zip(z, y, strict=True):
            u = [a if c == t else (1 - a) / (k - 1) for c in range(k)]
            v = softmax([x / T for x in u])
            log_p = log_softmax([x / T for x in row] if tempered else row)
            divergence += sum(vc * (math.log(vc) - lc) for vc, lc in zip(v, log_p, strict=True))
        divergence *= m / (len(y) * k) * (T * T if tempered else 1)
        return (1 - alpha) * cross_entropy(z, y) + alpha * divergence

    return loss


@each_case
@pytest.mark.parametrize("m", [None, 1.0])
@pytest.mark.parametrize("tempered", [False, True])
def test_formula(case, m, tempered):
    k = CASES[case][0].shape[1]
    check(TfKDReg(k, multiplier=m, tempered=tempered), reference(k, 0.1, 20.0, 0.99, m or k, tempered), case)


@pytest.mark.parametrize(
    "classes, settings, eps, scale",
    [
        (100, {"multiplier": 100}, 0.10, 1.0),
        (165, {"multiplier": 100}, 0.063, 0.9 + 10 / 165),
        (11, {"multiplier": 100}, 0.50, 0.9 + 10 / 11),
        (165, {"T": 40.0, "alpha": 0.95, "multiplier": 1}, 0.10, 1 / 18),
    ],
)
def test_published_settings_in_terms_of_label_smoothing(classes, settings, eps, scale):
    regime = TfKDReg(classes, **settings)
    assert regime.equivalent_eps == pytest.approx(eps, abs=0.006)
    assert regime.loss_scale == pytest.approx(scale, rel=0.01)
    assert regime.close_epoch() == {"equivalent_eps": regime.equivalent_eps, "loss_scale": regime.loss_scale}


def test_its_gradient_is_that_of_the_equivalent_label_smoothing():
    logits, targets = CASES["odd_batch"]
    regime = TfKDReg(5, alpha=0.3, T=0.4, a=0.9, multiplier=2.5)
    one, two = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    regime(one, targets).backward()
    (regime.loss_scale * LS(5, eps=regime.equivalent_eps)(two, targets)).backward()
    assert torch.allclose(one.grad, two.grad, atol=1e-7)
