"""Pairwise confusion: predictions for different images are pulled together."""

import torch
from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, log_probs, nll


class PairwiseConfusion(Regime):
    """CE + λ·Σ ‖p_i - p_j‖₂ / B over the pairs (i, i + B//2) of the batch; if B is odd, the last image has no pair.

    Args:
        lam: λ ≥ 0; 10 from the source.
        only_different: count only pairs with different labels (source); false = all pairs (authors' code).
    """

    name = "pairwise_confusion"
    label = "Pairwise confusion"
    source = "Dubey et al. 2018, Pairwise confusion for fine-grained visual classification"

    def __init__(self, num_classes: int, *, lam: float = 10.0, only_different: bool = True) -> None:
        super().__init__(num_classes)
        check_range("pairwise_confusion: lam", lam, 0)
        self.lam, self.only_different = lam, only_different

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        log_p = log_probs(logits)
        half = len(targets) // 2
        p, one, two = log_p.exp(), slice(0, half), slice(half, 2 * half)
        distance = torch.linalg.vector_norm(p[one] - p[two], dim=1)
        if self.only_different:
            distance = distance * (targets[one] != targets[two])
        return nll(log_p, targets).mean() + self.lam * distance.sum() / len(targets)
