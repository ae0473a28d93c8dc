"""Sample-dependent focal loss."""

import torch
from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.focal import focal
from calibench.regimes.functional import log_probs, nll


class FLSD53(Regime):
    """Focal loss with γ = 5 for a sample with p_y < 0.2 and γ = 3 otherwise; γ carries no gradient."""

    name = "flsd53"
    label = "FLSD-53"
    source = "Mukhoti et al. 2020, Calibrating deep neural networks using focal loss"

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        ce = nll(log_probs(logits), targets)
        gamma = torch.where(torch.exp(-ce.detach()) < 0.2, 5.0, 3.0)
        return focal(ce, gamma).mean()
