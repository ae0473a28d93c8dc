"""Margin-based label smoothing."""

from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_choice, check_range, log_probs, nll


class MbLS(Regime):
    """CE + α·relu(max_k z - z - m), mean over batch and classes; the maximum is not detached.

    Args:
        alpha: weight ≥ 0; 0.1 from the source.
        margin: m ≥ 0; 10 from the source.
        over_classes: "mean" (authors' code) or "sum" (its equation).
    """

    name = "mbls"
    label = "MbLS"
    source = "Liu et al. 2022, The devil is in the margin"

    def __init__(
        self, num_classes: int, *, alpha: float = 0.1, margin: float = 10.0, over_classes: str = "mean"
    ) -> None:
        super().__init__(num_classes)
        check_range("mbls: alpha", alpha, 0)
        check_range("mbls: margin", margin, 0)
        check_choice("mbls: over_classes", over_classes, ("mean", "sum"))
        self.margin = margin
        self.weight = alpha if over_classes == "mean" else alpha * num_classes

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        z = logits.float()
        excess = (z.amax(dim=1, keepdim=True) - z - self.margin).relu()
        return nll(log_probs(z), targets).mean() + self.weight * excess.mean()
