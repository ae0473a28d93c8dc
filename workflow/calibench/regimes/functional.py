"""Pieces several regimes share.

``log_p`` and ``logits`` are (B, K), ``targets`` (B,) int64; results are float32.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from calibench.errors import UserError


def log_probs(logits: Tensor) -> Tensor:
    """Log-softmax in float32, whatever the type of the logits (autocast may hand over bf16 or fp16)."""
    return F.log_softmax(logits.float(), dim=1)


def nll(log_p: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy -log p_y of each sample, (B,)."""
    return F.nll_loss(log_p, targets, reduction="none")  # the backward of gather sorts on a GPU


def soft_nll(log_p: Tensor, soft_targets: Tensor) -> Tensor:
    """Cross-entropy -Σ_k t_k log p_k of each sample with its soft target (B, K), (B,)."""
    return -(soft_targets * log_p).sum(dim=1)


def smoothed_nll(log_p: Tensor, targets: Tensor, eps: float) -> Tensor:
    """Cross-entropy of each sample against (1-ε)·onehot + ε/K, (B,)."""
    return (1 - eps) * nll(log_p, targets) - eps * log_p.mean(dim=1)


def smoothed_onehot(num_classes: int, eps: float) -> Tensor:
    """(1-ε)·onehot + ε/K of every class, (K, K)."""
    return (1 - eps) * torch.eye(num_classes) + eps / num_classes


def entropy(p: Tensor) -> Tensor:
    """Entropy in nats along the last dimension; 0·log 0 = 0."""
    return -torch.xlogy(p, p).sum(dim=-1)


def kl(p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p ‖ q) of each row, (B,); 0·log 0 = 0. ``log_q`` must be finite where p is 0."""
    return (torch.xlogy(p, p) - p * log_q).sum(dim=1)


def distillation(logits: Tensor, teacher_logits: Tensor, teacher_t: float, student_t: float) -> Tensor:
    """KL(softmax(t/T) ‖ softmax(z/T')) of each sample, (B,); the teacher is detached."""
    teacher = log_probs(teacher_logits.detach().float() / teacher_t)
    student = log_probs(logits.float() / student_t)
    return (teacher.exp() * (teacher - student)).sum(dim=1)


def other_classes(targets: Tensor, num_classes: int) -> Tensor:
    """The K-1 class indices that are not the target, ascending, (B, K-1)."""
    columns = torch.arange(num_classes - 1, device=targets.device)
    return columns + (columns >= targets[:, None])


def step_generator(step_seed: int) -> torch.Generator:
    """Random numbers of one step; on the CPU, so that every device sees the same ones."""
    return torch.Generator().manual_seed(step_seed)


def class_matrix(name: str, matrix: object, num_classes: int) -> Tensor:
    """A matrix of another run as float32 (K, K).

    Raises:
        UserError: if its shape does not fit the number of classes or it is no set of (sub-)distributions.
    """
    matrix = torch.as_tensor(matrix).float()
    if matrix.shape != (num_classes, num_classes):
        raise UserError(
            f"{name}: the other run's matrix is {tuple(matrix.shape)}; this data has {num_classes} classes"
        )
    if not bool((matrix >= 0).all()) or not bool((matrix.sum(dim=1) < 1.001).all()):
        raise UserError(
            f"{name}: the rows of the other run's matrix are no probabilities; train that run again"
        )
    return matrix


def check_range(
    name: str, value: float, low: float, high: float = math.inf, *, open_low: bool = False
) -> None:
    """Refuse a setting outside [low, high] (or (low, high] with ``open_low``).

    Raises:
        UserError: naming the setting, its value and the allowed range.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and (low < value if open_low else low <= value) and value <= high:
        return
    above = f"above {low}" if open_low else f"at least {low}"
    raise UserError(
        f"{name} is {value!r}; it must be a number {above}"
        + ("" if high == math.inf else f", at most {high}")
    )


def check_steps(name: str, value: int | None) -> None:
    """Refuse a number of steps that is neither ``None`` nor a whole number from 1.

    Raises:
        UserError: naming the setting and its value.
    """
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise UserError(f"{name} is {value!r}; it must be a whole number of at least 1, or null")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuse a setting that is none of ``choices``.

    Raises:
        UserError: naming the setting, its value and the choices.
    """
    if value not in choices:
        raise UserError(f"{name} is {value!r}; it must be one of: {', '.join(choices)}")
