"""Difference between confidence and accuracy as a penalty."""

from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, log_probs, nll


class DCA(Regime):
    """CE + β·|mean_B(max_k p_k) - accuracy of the batch|.

    Args:
        beta: β ≥ 0; 10 from the source (1 in MDCA's repository).
    """

    name = "dca"
    label = "DCA"
    source = "Liang et al. 2020, Improved trainable calibration method for neural networks on medical imaging"

    def __init__(self, num_classes: int, *, beta: float = 10.0) -> None:
        super().__init__(num_classes)
        check_range("dca: beta", beta, 0)
        self.beta = beta

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        log_p = log_probs(logits)
        confidence = log_p.amax(dim=1).exp().mean()
        accuracy = (logits.argmax(dim=1) == targets).float().mean()
        return nll(log_p, targets).mean() + self.beta * (confidence - accuracy).abs()
