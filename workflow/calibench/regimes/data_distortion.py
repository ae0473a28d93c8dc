"""Data-distortion guided self-distillation: two augmented views of each image teach each other."""

from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_choice, check_range, distillation, log_probs, nll


class DataDistortion(Regime):
    """Mean CE of two views + μ·T²·[KL(sg p_b ‖ p_a) + KL(sg p_a ‖ p_b)] + λ·MMD².

    p_a and p_b are the tempered predictions for the views; MMD² is the squared distance between the mean features of
    the views over the batch. Both views go through the network together, so batch normalisation uses 2B images and a
    step takes twice the time and memory. No code of the authors is known, nor are λ and μ of the paper. Without
    random crops, flips or other augmentation the views are equal and nothing is distilled.

    Args:
        mu: μ ≥ 0; 1, a reimplementation (Self-KD-Lib).
        T: temperature of both; 4, the reimplementation.
        lam: λ ≥ 0; 0.0005, the reimplementation. 0 = predictions only, as in the comparison of Zhang et al. 2021.
        mmd: "vector" = distance of the mean feature vectors (the paper) or "scalar" = of the means over batch and
            features (the reimplementation).
    """

    name = "data_distortion"
    label = "Data distortion"
    source = "Xu and Liu 2019, Data-distortion guided self-distillation for deep neural networks"
    needs = ("features", "second_view")

    def __init__(
        self, num_classes: int, *, mu: float = 1.0, T: float = 4.0, lam: float = 0.0005, mmd: str = "vector"
    ) -> None:
        super().__init__(num_classes)
        check_range("data_distortion: mu", mu, 0)
        check_range("data_distortion: T", T, 0, open_low=True)
        check_range("data_distortion: lam", lam, 0)
        check_choice("data_distortion: mmd", mmd, ("vector", "scalar"))
        self.weight, self.T, self.lam, self.scalar = mu * T**2, T, lam, mmd == "scalar"

    def loss(
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        features: Tensor,
        second_view: tuple[Tensor, Tensor],
        **extras,
    ) -> Tensor:
        other, other_features = second_view
        ce = (nll(log_probs(logits), targets) + nll(log_probs(other), targets)) / 2
        mutual = distillation(logits, other, self.T, self.T) + distillation(other, logits, self.T, self.T)
        gap = features.float().mean(dim=0) - other_features.float().mean(dim=0)
        distance = gap.mean().square() if self.scalar else gap.square().sum()
        return (ce + self.weight * mutual).mean() + self.lam * distance
