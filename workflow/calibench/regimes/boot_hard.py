"""Hard bootstrapping."""

from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, log_probs, nll


class BootHard(Regime):
    """Cross-entropy against β·onehot + (1-β)·onehot(argmax p).

    Args:
        beta: β in [0, 1]; 0.8 from the source.
    """

    name = "boot_hard"
    label = "Boot-hard"
    source = "Reed et al. 2015, Training deep neural networks on noisy labels with bootstrapping"

    def __init__(self, num_classes: int, *, beta: float = 0.8) -> None:
        super().__init__(num_classes)
        check_range("boot_hard: beta", beta, 0, 1)
        self.beta = beta

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        log_p = log_probs(logits)
        return (self.beta * nll(log_p, targets) + (1 - self.beta) * nll(log_p, logits.argmax(dim=1))).mean()
