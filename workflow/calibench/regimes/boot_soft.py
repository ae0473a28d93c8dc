"""Soft bootstrapping."""

from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, log_probs, nll, soft_nll


class BootSoft(Regime):
    """Cross-entropy against β·onehot + (1-β)·p; p is not detached.

    Args:
        beta: β in [0, 1]; 0.95 from the source.
    """

    name = "boot_soft"
    label = "Boot-soft"
    source = "Reed et al. 2015, Training deep neural networks on noisy labels with bootstrapping"

    def __init__(self, num_classes: int, *, beta: float = 0.95) -> None:
        super().__init__(num_classes)
        check_range("boot_soft: beta", beta, 0, 1)
        self.beta = beta

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        log_p = log_probs(logits)
        return (self.beta * nll(log_p, targets) + (1 - self.beta) * soft_nll(log_p, log_p.exp())).mean()
