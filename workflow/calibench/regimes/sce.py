"""Symmetric cross-entropy."""

import torch
from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, log_probs, nll


class SCE(Regime):
    """α·CE + β·A·(1-p_y): cross-entropy and reverse cross-entropy with log 0 = -A.

    Args:
        alpha: α ≥ 0; 6 from the source for CIFAR-100 (CIFAR-10: 0.1).
        beta: β ≥ 0; 0.1 from the source for CIFAR-100 (CIFAR-10: 1).
        A: A > 0; -ln 1e-4 in the public codes (4 in the paper).
    """

    name = "sce"
    label = "SCE"
    source = "Wang et al. 2019, Symmetric cross entropy for robust learning with noisy labels"

    def __init__(
        self, num_classes: int, *, alpha: float = 6.0, beta: float = 0.1, A: float = 9.210340371976182
    ) -> None:
        super().__init__(num_classes)
        check_range("sce: alpha", alpha, 0)
        check_range("sce: beta", beta, 0)
        check_range("sce: A", A, 0, open_low=True)
        self.alpha, self.beta, self.A = alpha, beta, A

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        ce = nll(log_probs(logits), targets)
        reverse = -torch.expm1(-ce) * self.A
        return (self.alpha * ce + self.beta * reverse).mean()
