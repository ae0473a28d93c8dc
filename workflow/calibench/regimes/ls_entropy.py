"""Label smoothing together with a confidence penalty."""

from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, log_probs, smoothed_nll, soft_nll


class LSEntropy(Regime):
    """CE against (1-ε)·onehot + ε/K, minus β·H(p), H in nats.

    Args:
        eps: ε in [0, 1]; 0.05 from the source.
        beta: β ≥ 0; 0.1 from the source.
    """

    name = "ls_entropy"
    label = "LS + entropy"
    source = "arXiv 2507.07780, the training loss it finds best calibrated under distribution shift"

    def __init__(self, num_classes: int, *, eps: float = 0.05, beta: float = 0.1) -> None:
        super().__init__(num_classes)
        check_range("ls_entropy: eps", eps, 0, 1)
        check_range("ls_entropy: beta", beta, 0)
        self.eps, self.beta = eps, beta

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        log_p = log_probs(logits)
        return (smoothed_nll(log_p, targets, self.eps) - self.beta * soft_nll(log_p, log_p.exp())).mean()
