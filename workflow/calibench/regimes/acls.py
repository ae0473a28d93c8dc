"""Adaptive and conditional label smoothing."""

from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, log_probs, nll


class ACLS(Regime):
    """CE + α·[λ₁·relu(z_max - m)² + λ₂·relu(sg(z_max) - z_j - m)²].

    The first square is averaged over the batch, the second over the batch and the K-1 classes j other than the
    predicted one. sg stops the gradient: the first square pulls only the largest logit down, the second pulls only
    the others up.

    Args:
        alpha: α ≥ 0; 0.1 from the source.
        pos: λ₁ ≥ 0; 1 from the source.
        neg: λ₂ ≥ 0; 0.1 from the source.
        margin: m ≥ 0; 10 from the source.
    """

    name = "acls"
    label = "ACLS"
    source = "Park et al. 2023, ACLS: adaptive and conditional label smoothing for network calibration"

    def __init__(
        self,
        num_classes: int,
        *,
        alpha: float = 0.1,
        pos: float = 1.0,
        neg: float = 0.1,
        margin: float = 10.0,
    ) -> None:
        super().__init__(num_classes)
        for key, value in {"alpha": alpha, "pos": pos, "neg": neg, "margin": margin}.items():
            check_range(f"acls: {key}", value, 0)
        self.pos, self.neg, self.margin = alpha * pos, alpha * neg / (num_classes - 1), margin

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        z = logits.float()
        top = z.amax(dim=1)
        high = (top - self.margin).relu().square()
        # the predicted class itself adds relu(-m)² = 0 to the sum
        low = (top.detach()[:, None] - z - self.margin).relu().square().sum(dim=1)
        return (nll(log_probs(z), targets) + self.pos * high + self.neg * low).mean()
