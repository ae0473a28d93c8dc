import math

import pytest
import torch
from calibench.regimes import build
from regime_cases import CASES, check, cross_entropy, each_case, log_softmax


def teacher_of(case):
    generator = torch.Generator().manual_seed(11)
    logits = CASES[case][0]
    return torch.randn(logits.shape, generator=generator) * (1e4 if case == "extreme" else 3)


def divergence(z, teacher, teacher_t, student_t):
    """Sum over batch and classes of KL(softmax(t/T) ‖ softmax(z/T'))."""
    total = 0.0
    for row, other in zip(z, teacher, strict=True):
        q = log_softmax([v / student_t for v in row])
        log_p = log_softmax([v / teacher_t for v in other])
        total += math.fsum(math.exp(a) * (a - b) for a, b in zip(log_p, q, strict=True))
    return total


@each_case
@pytest.mark.parametrize("settings", [{}, {"alpha": 0.3, "T": 1.5}])
def test_kd(case, settings):
    teacher = teacher_of(case)
    alpha, t = settings.get("alpha", 0.9), settings.get("T", 4)

    def reference(z, y, still):
        soft = divergence(z, teacher.double().tolist(), t, t) / len(y)
        return (1 - alpha) * cross_entropy(z, y) + alpha * t * t * soft

    check(build("kd", CASES[case][0].shape[1], **settings), reference, case, teacher_logits=teacher)


@each_case
@pytest.mark.parametrize(
    "settings, t, m, tempered",
    [
        ({}, 6, 50, True),
        ({"T": 20.0, "multiplier": 1.0}, 20, 1, True),
        ({"multiplier": None, "tempered": False}, 6, None, False),
    ],
)
def test_tfkd_self(case, settings, t, m, tempered):
    teacher, k = teacher_of(case), CASES[case][0].shape[1]
    student_t = t if tempered else 1

    def reference(z, y, still):
        mean = divergence(z, teacher.double().tolist(), t, student_t) / (len(y) * k)
        return 0.05 * cross_entropy(z, y) + 0.95 * student_t**2 * (m or k) * mean

    check(build("tfkd_self", k, **settings), reference, case, teacher_logits=teacher)


@pytest.mark.parametrize("name", ["kd", "tfkd_self"])
def test_no_gradient_reaches_the_teacher(name):
    logits, targets = CASES["odd_batch"]
    teacher = teacher_of("odd_batch").requires_grad_()
    build(name, 5)(logits.clone().requires_grad_(), targets, teacher_logits=teacher).backward()
    assert teacher.grad is None


def test_a_student_that_equals_its_teacher_pays_cross_entropy_only():
    logits, targets = CASES["odd_batch"]
    expected = 0.1 * cross_entropy(logits.double().tolist(), targets.tolist())
    assert build("kd", 5)(logits, targets, teacher_logits=logits).item() == pytest.approx(expected, rel=1e-5)
