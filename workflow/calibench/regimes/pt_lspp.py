"""The proxy teacher of LS++: the matrix of a finished run as fixed soft labels."""

import torch
from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, class_matrix, log_probs, nll, soft_nll


class PTLSPP(Regime):
    """Cross-entropy against (1-α)·onehot + α·C_y, C of a finished ``lspp`` run of another backbone.

    Buffer: ``matrix`` C (K, K), row = true class.

    Args:
        alpha: weight of C in [0, 1]; 0.1 from the source.
        matrix_of: the run that has the matrix, ``backbone/regime``; ours.
    """

    name = "pt_lspp"
    label = "PT-LS++"
    source = "Chhabra et al. 2024, Label Smoothing++, section 5.3"
    inputs = ("matrix",)
    other_runs = {"matrix_of": "regime"}

    def __init__(self, num_classes: int, *, alpha: float = 0.1, matrix_of: str = "resnet50/lspp") -> None:
        super().__init__(num_classes)
        check_range("pt_lspp: alpha", alpha, 0, 1)
        self.alpha, self.matrix_of = alpha, matrix_of
        self.register_buffer("matrix", torch.full((num_classes, num_classes), 1 / num_classes))

    def take(self, matrix) -> None:
        self.matrix.copy_(class_matrix(self.name, matrix, self.num_classes))

    def class_targets(self) -> Tensor:
        return (1 - self.alpha) * torch.eye(self.num_classes) + self.alpha * self.matrix.cpu()

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        log_p = log_probs(logits)
        return (
            (1 - self.alpha) * nll(log_p, targets) + self.alpha * soft_nll(log_p, self.matrix[targets])
        ).mean()
