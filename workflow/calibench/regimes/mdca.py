"""Multi-class difference of confidence and accuracy."""

from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, log_probs, nll


class MDCA(Regime):
    """CE + β·mean_k |mean_B p_k - share of class k in the batch|; weak when the batch is smaller than K.

    Args:
        beta: β ≥ 0; 1 from the source.
    """

    name = "mdca"
    label = "MDCA"
    source = "Hebbalaguppe et al. 2022, A stitch in time saves nine: a train-time regularizing loss"

    def __init__(self, num_classes: int, *, beta: float = 1.0) -> None:
        super().__init__(num_classes)
        check_range("mdca: beta", beta, 0)
        self.beta = beta

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        log_p = log_probs(logits)
        p = log_p.exp().mean(dim=0)
        one = p.new_full((len(targets),), 1 / len(targets))
        share = p.new_zeros(self.num_classes).index_add(0, targets, one)
        return nll(log_p, targets).mean() + self.beta * (p - share).abs().mean()
