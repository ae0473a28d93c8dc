"""Explicit confidence penalty."""

from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, log_probs, nll, soft_nll


class ECP(Regime):
    """CE - β·H(p), H in nats.

    Args:
        beta: β ≥ 0; 0.1 from the source (one repository divides by K as well; not here).
    """

    name = "ecp"
    label = "Confidence penalty"
    source = "Pereyra et al. 2017, Regularizing neural networks by penalizing confident output distributions"

    def __init__(self, num_classes: int, *, beta: float = 0.1) -> None:
        super().__init__(num_classes)
        check_range("ecp: beta", beta, 0)
        self.beta = beta

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        log_p = log_probs(logits)
        return (nll(log_p, targets) - self.beta * soft_nll(log_p, log_p.exp())).mean()
