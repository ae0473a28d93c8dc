"""Teacher-free knowledge distillation by self-training: the teacher has the same backbone."""

from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, distillation, log_probs, nll


class TfKDSelf(Regime):
    """(1-α)·CE + α·T²·(m/K)·mean_B KL(softmax(t/T) ‖ softmax(z/T)), t the logits of a ``hard`` model.

    Args:
        alpha: weight of the teacher in [0, 1]; 0.95, authors' code for ResNet-18 and MobileNetV2.
        T: temperature; 6, authors' code for ResNet-18 (MobileNetV2: 20).
        multiplier: m; 50, authors' code for ResNet-18 (MobileNetV2: 1); ``None`` means K.
        tempered: temper the student too, with the factor T² (authors' code); false: KL(softmax(t/T) ‖ p)
            without T².
        teacher: run that teaches, ``backbone/regime``.
    """

    name = "tfkd_self"
    label = "Tf-KD (self)"
    source = "Yuan et al. 2020, Revisiting knowledge distillation via label smoothing regularization"
    needs = ("teacher_logits",)
    other_runs = {"teacher": "weights"}

    def __init__(
        self,
        num_classes: int,
        *,
        alpha: float = 0.95,
        T: float = 6.0,
        multiplier: float | None = 50.0,
        tempered: bool = True,
        teacher: str = "{backbone}/hard",
    ) -> None:
        super().__init__(num_classes)
        check_range("tfkd_self: alpha", alpha, 0, 1)
        check_range("tfkd_self: T", T, 0, open_low=True)
        if multiplier is not None:
            check_range("tfkd_self: multiplier", multiplier, 0)
        self.alpha, self.T, self.teacher = alpha, T, teacher
        self.student_T = T if tempered else 1.0
        self.multiplier = num_classes if multiplier is None else multiplier

    def loss(self, logits: Tensor, targets: Tensor, *, teacher_logits: Tensor, **extras) -> Tensor:
        divergence = distillation(logits, teacher_logits, self.T, self.student_T).mean()
        scale = self.alpha * self.student_T**2 * self.multiplier / self.num_classes
        return (1 - self.alpha) * nll(log_probs(logits), targets).mean() + scale * divergence
