"""Functions that several regimes use.

``log_p`` and ``logits`` are (B, K), ``targets`` (B,) int64; results are float32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from calibench.errors import UserError
from calibench.regimes.ranges import check_choice, check_range, check_steps  # noqa: F401  regimes import them here


def log_probs(logits: Tensor) -> Tensor:
    """Log-softmax in float32, for logits of any type (under autocast they are bf16 or fp16)."""
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
    """Random numbers of one step; on the CPU, so that they are the same for every device."""
    return torch.Generator().manual_seed(step_seed)


def class_matrix(name: str, matrix: object, num_classes: int) -> Tensor:
    """A matrix of another run as float32 (K, K); UserError unless its rows are (sub-)distributions over K classes."""
    matrix = torch.as_tensor(matrix).float()
    if matrix.shape != (num_classes, num_classes):
        raise UserError(
            f"{name}: the other run's matrix is {tuple(matrix.shape)}; this data has {num_classes} classes"
        )
    if not bool((matrix >= 0).all()) or not bool((matrix.sum(dim=1) < 1.001).all()):
        raise UserError(
            f"{name}: the rows of the other run's matrix are not probabilities; train that run again"
        )
    return matrix
