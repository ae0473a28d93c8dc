import math

import pytest
import torch
from calibench.regimes import build
from regime_cases import CASES, check, each_case, log_softmax, resumed, same_state, softmax


def with_c(k, **settings):
    regime = build("lspp", k, **settings)
    with torch.no_grad():
        regime.C.copy_(torch.randn(k, k - 1, generator=torch.Generator().manual_seed(k)) * 2)
    return regime


def label(c_row, t, k, alpha):
    """y* and its logarithm, for one class."""
    log_c = log_softmax(c_row)
    log_c = [*log_c[:t], None, *log_c[t:]]
    log_y = [math.log(1 - alpha) if i == t else math.log(alpha) + log_c[i] for i in range(k)]
    return [math.exp(v) for v in log_y], log_y


def reference(z, y, still, c, still_c, k, alpha, objective):
    """Objective with separate copies where a gradient stops: `still` for the network, `still_c` for C."""
    if objective != "split":
        still, still_c = z, c
    total = 0.0
    for row, old, t in zip(z, still, y, strict=True):
        soft, _ = label(still_c[t], t, k, alpha)
        _, log_soft = label(c[t], t, k, alpha)
        total -= math.fsum(a * b for a, b in zip(soft, log_softmax(row), strict=True))
        if objective != "cross_entropy":
            total -= math.fsum(a * b for a, b in zip(softmax(old), log_soft, strict=True))
    return total / len(y)


@each_case
@pytest.mark.parametrize("objective", ["split", "symmetric", "cross_entropy"])
@pytest.mark.parametrize("half", [False, True])
def test_value_and_gradient_of_the_network(case, objective, half):
    k = CASES[case][0].shape[1]
    regime = with_c(k, objective=objective, half=half)
    c = regime.C.double().tolist()
    factor = 0.5 if half else 1
    check(
        regime,
        lambda z, y, still: factor * reference(z, y, still, c, c, k, 0.1, objective),
        case,
    )


@each_case
@pytest.mark.parametrize("objective", ["split", "symmetric", "cross_entropy"])
def test_gradient_of_c(case, objective):
    logits, targets = CASES[case]
    k = logits.shape[1]
    regime = with_c(k, objective=objective)
    regime(logits.clone().requires_grad_(), targets).backward()
    z, y = logits.double().tolist(), targets.tolist()
    base = regime.C.detach().double()
    scale = max(1.0, regime.C.grad.abs().max().item())
    for seed in range(1 if k > 100 else 2):
        d = torch.randn(base.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        up, down = (
            reference(z, y, z, (base + s * 1e-5 * d).tolist(), base.tolist(), k, 0.1, objective)
            for s in (1, -1)
        )
        got = (regime.C.grad.double() * d).sum().item()
        assert got == pytest.approx((up - down) / 2e-5, rel=1e-3, abs=3e-5 * scale)


def test_each_term_trains_its_own_part_only():
    logits, targets = CASES["odd_batch"]
    regime, leaf = with_c(5), logits.clone().requires_grad_()
    log_p = leaf.log_softmax(1)
    y_star = torch.zeros(7, 5).scatter(1, targets[:, None], 0.9) + 0.1 * regime.probabilities()[targets]
    regime(leaf, targets).backward()
    expected = torch.autograd.grad(-(y_star * log_p).sum(1).mean(), leaf)[0]
    assert torch.allclose(leaf.grad, expected, atol=1e-7)


def test_at_the_start_it_is_label_smoothing_over_the_other_classes():
    regime = build("lspp", 4)
    expected = (1 - torch.eye(4)) / 3
    assert torch.allclose(regime.matrix, expected)
    assert regime.close_epoch() == {"matrix_entropy": pytest.approx(math.log(3))}


def test_its_own_group_is_decayed_only_where_asked():
    (group,) = build("lspp", 4).parameter_groups(0.001, 5e-4)
    assert group["lr"] == 0.1 and group["weight_decay"] == 0 and group["params"][0].shape == (4, 3)
    (group,) = build("lspp", 4, c_lr=None, c_weight_decay=True).parameter_groups(0.001, 5e-4)
    assert group["lr"] == 0.001 and group["weight_decay"] == 5e-4


def test_training_c_finds_the_confused_class_and_survives_resume():
    def train(regime, steps, optimizer_state=None):
        optimizer = torch.optim.SGD(regime.parameter_groups(0.01, 0.0), lr=0.01, momentum=0.9)
        if optimizer_state:
            optimizer.load_state_dict(optimizer_state)
        logits = torch.tensor([[3.0, 2.0, 0.0, 0.0], [0.0, 3.0, 0.0, 2.0]])
        for _ in range(steps):
            optimizer.zero_grad()
            regime(logits, torch.tensor([0, 1])).backward()
            optimizer.step()
        return optimizer.state_dict()

    straight, half = build("lspp", 4), build("lspp", 4)
    train(straight, 60)
    state = train(half, 25)
    again = resumed(half, build("lspp", 4))
    train(again, 35, state)
    again.close_epoch(), straight.close_epoch()
    same_state(straight, again)
    assert straight.matrix[0].argmax() == 1 and straight.matrix[1].argmax() == 3
    assert torch.equal(straight.matrix.diagonal(), torch.zeros(4))
    assert torch.allclose(straight.matrix.sum(1), torch.ones(4))


def test_its_matrix_is_what_the_proxy_teacher_takes():
    teacher = with_c(5)
    teacher.close_epoch()
    student = build("pt_lspp", 5)
    student.prepare(**teacher.state_dict())
    assert torch.equal(student.matrix, teacher.probabilities())
