"""Cross-entropy whose gradient is weighted by a generalised Brier score."""

import torch
from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_choice, check_range, log_probs, nll


class BSCEGra(Regime):
    """‖onehot - p‖_q^γ·CE, mean over the batch; the weight carries no gradient.

    Args:
        gamma: γ ≥ 0; 4, the authors' scripts (the paper tunes it; their code sums over the batch, here it is
            the mean).
        q: order of the norm, at least 1; 2, the authors' scripts (1: twice the error probability).
        weight: "detached" = the weight scales the gradient of CE (source), "differentiated" = the gradient
            goes through it as well, which the source calls BSCE.
    """

    name = "bsce_gra"
    label = "BSCE-GRA"
    source = "Lin et al. 2025, Uncertainty weighted gradients for model calibration"

    def __init__(
        self, num_classes: int, *, gamma: float = 4.0, q: float = 2.0, weight: str = "detached"
    ) -> None:
        super().__init__(num_classes)
        check_range("bsce_gra: gamma", gamma, 0)
        check_range("bsce_gra: q", q, 1)
        check_choice("bsce_gra: weight", weight, ("detached", "differentiated"))
        self.gamma, self.q, self.detached = gamma, q, weight == "detached"

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        log_p = log_probs(logits)
        ce = nll(log_p, targets)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detached):
            wrong = -torch.expm1(-ce)[:, None]  # 1 - p_y, exact where p_y is near 1
            gap = log_p.exp().scatter(1, targets[:, None], wrong)
            # the clamp: the slope of 0^γ is infinite for γ < q
            weight = gap.pow(self.q).sum(dim=1).clamp(min=1e-20) ** (self.gamma / self.q)
        return (weight * ce).mean()
