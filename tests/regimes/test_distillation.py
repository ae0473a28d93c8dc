import math

import pytest
import torch
from calibench.errors import UserError
from calibench.planning import checks, configuration
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


@each_case
@pytest.mark.parametrize("mmd", ["vector", "scalar"])
def test_data_distortion(case, mmd):
    logits = CASES[case][0]
    other, k = teacher_of(case), logits.shape[1]
    draw = torch.Generator().manual_seed(3)
    features, more = (torch.randn(len(logits), 6, generator=draw) for _ in range(2))
    means = [
        [math.fsum(column) / len(logits) for column in zip(*f.tolist(), strict=True)]
        for f in (features, more)
    ]
    gap = [a - b for a, b in zip(*means, strict=True)]
    distance = math.fsum(g * g for g in gap) if mmd == "vector" else (math.fsum(gap) / 6) ** 2

    def reference(z, y, still):
        b = other.double().tolist()
        first, second = divergence(z, b, 3, 3), divergence(b, still, 3, 3)
        ce = (cross_entropy(z, y) + cross_entropy(b, y)) / 2
        return ce + 0.5 * 9 * (first + second) / len(y) + 0.2 * distance

    regime = build("data_distortion", k, mu=0.5, T=3.0, lam=0.2, mmd=mmd)
    check(regime, reference, case, features=features, second_view=(other, more))


def test_both_views_of_data_distortion_are_trained():
    logits, targets = CASES["odd_batch"]
    one, two = (torch.randn(7, 6, requires_grad=True) for _ in range(2))
    other = teacher_of("odd_batch").requires_grad_()
    build("data_distortion", 5)(logits, targets, features=one, second_view=(other, two)).backward()
    assert other.grad.any() and torch.allclose(one.grad, -two.grad) and one.grad.any()


def test_two_views_are_not_mixed():
    config = configuration.complete(
        {
            "name": "t",
            "datasets": {"d": {"root": "."}},
            "backbones": ["resnet18"],
            "runs": ["data_distortion+cutmix"],
            "variants": {"cutmix": {"augment": {"cutmix": 1.0}}},
        }
    )
    with pytest.raises(
        UserError, match="'data_distortion.cutmix' on resnet18 compares two views .* augment.cutmix to null"
    ):
        checks.check_all(config)
