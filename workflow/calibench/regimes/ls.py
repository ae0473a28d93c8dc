"""Label smoothing."""

from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, log_probs, smoothed_nll, smoothed_onehot


class LS(Regime):
    """Cross-entropy against (1-ε)·onehot + ε/K.

    ε is spread over all K classes as in the source (and in torch's ``label_smoothing``), not over the K-1
    others.

    Args:
        eps: ε in [0, 1]; 0.1 from the source.
    """

    name = "ls"
    label = "LS"
    source = "Szegedy et al. 2016, Rethinking the Inception architecture, section 7"

    def __init__(self, num_classes: int, *, eps: float = 0.1) -> None:
        super().__init__(num_classes)
        check_range("ls: eps", eps, 0, 1)
        self.eps = eps

    def class_targets(self) -> Tensor:
        return smoothed_onehot(self.num_classes, self.eps)

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        return smoothed_nll(log_probs(logits), targets, self.eps).mean()
