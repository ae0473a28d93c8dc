"""Focal loss."""

import torch
from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, log_probs, nll


class Focal(Regime):
    """-(1-p_y)^γ·log p_y, mean over the batch.

    Args:
        gamma: γ ≥ 0; 3 from Mukhoti et al. (the authors' code sums over the batch, here it is the mean).
    """

    name = "focal"
    label = "Focal loss"
    source = (
        "Lin et al. 2017, Focal loss; Mukhoti et al. 2020, Calibrating deep neural networks using focal loss"
    )

    def __init__(self, num_classes: int, *, gamma: float = 3.0) -> None:
        super().__init__(num_classes)
        check_range("focal: gamma", gamma, 0)
        self.gamma = gamma

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        return focal(nll(log_probs(logits), targets), self.gamma).mean()


def focal(ce: Tensor, gamma: float | Tensor) -> Tensor:
    """(1-p)^γ·ce with p = exp(-ce), each sample; expm1 keeps 1-p exact when p is near 1."""
    wrong = -torch.expm1(-ce)
    return wrong.clamp(min=1e-20) ** gamma * ce  # the clamp: the slope of 0^γ is infinite for γ < 1
