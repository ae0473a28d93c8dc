"""Teacher-free knowledge distillation by regularisation: a hand-made virtual teacher."""

import math

from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, log_probs, nll, smoothed_onehot


class TfKDReg(Regime):
    """(1-α)·CE + α·(m/K)·mean_B Σ_k KL(v^y ‖ p), v^y = softmax(u^y / T), u^y = a on the target, (1-a)/(K-1)
    elsewhere.

    The softmax of the virtual teacher is taken over *probabilities* u, as the authors do; the student p is not
    tempered. With m = K the divergence is summed over classes and averaged over the batch. The loss is label
    smoothing up to a factor: see :attr:`equivalent_eps` and :attr:`loss_scale`.

    Args:
        alpha: weight of the virtual teacher in [0, 1]; 0.1, authors' code for ResNet-18.
        T: temperature of the teacher; 20, authors' code for ResNet-18.
        a: probability of the target in u; 0.99, the paper asks for ≥ 0.9, authors' code 0.99.
        multiplier: m; ``None`` means K. The authors' 100 is K of CIFAR-100; they use 1 for other backbones.
        tempered: temper the student as well and multiply the divergence by T² (the text of the paper, with Hinton's
            factor); false as in the authors' code.
    """

    name = "tfkd_reg"
    label = "Tf-KD (reg)"
    source = "Yuan et al. 2020, Revisiting knowledge distillation via label smoothing regularization"

    def __init__(
        self,
        num_classes: int,
        *,
        alpha: float = 0.1,
        T: float = 20.0,
        a: float = 0.99,
        multiplier: float | None = None,
        tempered: bool = False,
    ) -> None:
        super().__init__(num_classes)
        check_range("tfkd_reg: alpha", alpha, 0, 1)
        check_range("tfkd_reg: T", T, 0, open_low=True)
        check_range("tfkd_reg: a", a, 0, 1)
        if multiplier is not None:
            check_range("tfkd_reg: multiplier", multiplier, 0)
        self.alpha, self.T, self.tempered = alpha, T, tempered
        self.multiplier = num_classes if multiplier is None else multiplier
        self.on, self.off = _virtual_teacher(num_classes, a, T)

    @property
    def loss_scale(self) -> float:
        """Total weight of the -log p terms: how many times larger the loss is than a cross-entropy."""
        return 1 - self.alpha + self.alpha * self.multiplier / self.num_classes

    @property
    def equivalent_eps(self) -> float:
        """ε of the label smoothing with this gradient up to :attr:`loss_scale` (untempered student)."""
        if self.loss_scale == 0:
            return math.nan
        return self.alpha * self.multiplier * self.off / self.loss_scale

    def class_targets(self) -> Tensor | None:
        """The label of the label smoothing that this loss equals up to :attr:`loss_scale`."""
        return None if self.tempered else smoothed_onehot(self.num_classes, self.equivalent_eps)

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        log_p = log_probs(logits)
        student = log_probs(logits.float() / self.T) if self.tempered else log_p
        target_nll = nll(student, targets)
        cross = self.on * target_nll - self.off * (student.sum(dim=1) + target_nll)
        divergence = (cross - self._teacher_entropy()).mean() * self.multiplier / self.num_classes
        if self.tempered:
            divergence = divergence * self.T**2
        return (1 - self.alpha) * nll(log_p, targets).mean() + self.alpha * divergence

    def _teacher_entropy(self) -> float:
        terms = (self.on, 1), (self.off, self.num_classes - 1)
        return -sum(n * v * math.log(v) for v, n in terms if v > 0)

    def close_epoch(self) -> dict[str, float]:
        if self.tempered:
            return {}
        return {"equivalent_eps": self.equivalent_eps, "loss_scale": self.loss_scale}


def _virtual_teacher(num_classes: int, a: float, temperature: float) -> tuple[float, float]:
    """Probability of v on the target and on each other class."""
    odds = math.exp(((1 - a) / (num_classes - 1) - a) / temperature)
    on = 1 / (1 + (num_classes - 1) * odds)
    return on, on * odds
