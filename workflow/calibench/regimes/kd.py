"""Knowledge distillation from a finished model."""

from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, distillation, log_probs, nll


class KD(Regime):
    """(1-α)·CE + α·T²·mean_B KL(softmax(t/T) ‖ softmax(z/T)), t the logits of a frozen teacher.

    Args:
        alpha: weight of the teacher in [0, 1]; 0.9, customary since the source.
        T: temperature of both; 4, customary (the source tried 1 to 20).
        teacher: run of the teacher, ``backbone/regime``; ours.
    """

    name = "kd"
    label = "KD"
    source = "Hinton et al. 2015, Distilling the knowledge in a neural network"
    needs = ("teacher_logits",)
    other_runs = {"teacher": "weights"}

    def __init__(
        self, num_classes: int, *, alpha: float = 0.9, T: float = 4.0, teacher: str = "resnet50/hard"
    ) -> None:
        super().__init__(num_classes)
        check_range("kd: alpha", alpha, 0, 1)
        check_range("kd: T", T, 0, open_low=True)
        self.alpha, self.T, self.teacher = alpha, T, teacher

    def loss(self, logits: Tensor, targets: Tensor, *, teacher_logits: Tensor, **extras) -> Tensor:
        divergence = distillation(logits, teacher_logits, self.T, self.T).mean() * self.T**2
        return (1 - self.alpha) * nll(log_probs(logits), targets).mean() + self.alpha * divergence
