import pytest
import torch
import torch.nn.functional as F
from calibench.errors import UserError
from calibench.regimes import LS, Hard, build
from regime_cases import CASES, check, cross_entropy, each_case, smoothed, soft_cross_entropy


@each_case
def test_hard_is_cross_entropy(case):
    check(Hard(CASES[case][0].shape[1]), lambda z, y, still: cross_entropy(z, y), case)


@each_case
@pytest.mark.parametrize("eps", [0.0, 0.1, 1.0])
def test_ls_spreads_eps_over_all_classes(case, eps):
    k = CASES[case][0].shape[1]
    check(LS(k, eps=eps), lambda z, y, still: soft_cross_entropy(z, smoothed(y, k, eps)), case)


def test_ls_is_what_torch_calls_label_smoothing():
    logits, targets = CASES["odd_batch"]
    assert torch.allclose(LS(5)(logits, targets), F.cross_entropy(logits, targets, label_smoothing=0.1))


def test_a_wrong_eps_is_named():
    with pytest.raises(UserError, match=r"ls: eps is 1.5; .* at most 1"):
        build("ls", 3, eps=1.5)
