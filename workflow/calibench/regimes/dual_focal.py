"""Dual focal loss."""

import torch
from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, log_probs


class DualFocal(Regime):
    """-(1 - p_y + p_j)^γ·log p_y, mean over the batch; p_j is the largest probability strictly below p_y.

    p_j is 0 if there is none. Both probabilities carry gradient.

    Args:
        gamma: γ ≥ 0; 5 from the source, which tunes it for each data set and network (the authors' code sums
            over the batch, here it is the mean).
    """

    name = "dual_focal"
    label = "Dual focal loss"
    source = "Tao et al. 2023, Dual focal loss for calibration"

    def __init__(self, num_classes: int, *, gamma: float = 5.0) -> None:
        super().__init__(num_classes)
        check_range("dual_focal: gamma", gamma, 0)
        self.gamma = gamma

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        log_p = log_probs(logits)
        own = log_p.gather(1, targets[:, None])
        below = log_p.masked_fill(log_p >= own, -torch.inf).amax(dim=1)
        own = own.squeeze(1)
        weight = below.exp() - torch.expm1(own)  # expm1 keeps 1 - p_y exact when p_y is near 1
        # the clamp: the slope of 0^γ is infinite for γ < 1
        return -(weight.clamp(min=1e-20) ** self.gamma * own).mean()
