"""A control for OLS: plain label smoothing as strong as OLS at the end of its training."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from calibench.errors import UserError
from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, class_matrix, log_probs, nll, smoothed_onehot


def hard_weight(ols: Mapping[str, Any]) -> float:
    """Share of the hard label in the target of an OLS run with these settings; UserError if they have no ``alpha``."""
    if "alpha" not in ols:
        raise UserError("ls_matched: the other run has no setting alpha; set ls_matched: alpha")
    return 0.5 if ols.get("weights") == "sum" else float(ols["alpha"])


class LSMatched(Regime):
    """Cross-entropy against (1-ε)·onehot + ε/K, where ε gives the wrong classes as much as a finished OLS run.

    The target of OLS, α·onehot + (1-α)·S_y, gives the wrong classes (1-α)·(1 - S_yy); this one gives them
    ε(K-1)/K. ε = (1-α)·mean_y(1 - S_yy)·K/(K-1) makes them equal on average over the classes, at most 1.
    Ours: it shows whether the class structure of OLS matters or only its amount of smoothing. Buffer:
    ``eps``, a number.

    Args:
        alpha: α of that OLS run; ``None`` = that of its settings (0.5 for its weights "sum").
        matrix_of: the OLS run, ``backbone/regime``.
    """

    name = "ls_matched"
    label = "LS matched to OLS"
    source = "ours, a control"
    inputs = ("matrix", "other_settings")
    other_runs = {"matrix_of": "regime"}

    def __init__(
        self, num_classes: int, *, alpha: float | None = None, matrix_of: str = "{backbone}/ols"
    ) -> None:
        super().__init__(num_classes)
        if alpha is not None:
            check_range("ls_matched: alpha", alpha, 0, 1)
        self.alpha, self.matrix_of = alpha, matrix_of
        self.register_buffer("eps", torch.zeros(()))

    def take(self, matrix, other_settings: Mapping[str, Any]) -> None:
        alpha = hard_weight(other_settings) if self.alpha is None else self.alpha
        matrix = class_matrix(self.name, matrix, self.num_classes).double()
        wrong = (matrix.sum(dim=1) - matrix.diagonal()).mean()
        eps = (1 - alpha) * wrong * self.num_classes / (self.num_classes - 1)
        self.eps.copy_(eps.clamp(max=1))

    def class_targets(self) -> Tensor:
        return smoothed_onehot(self.num_classes, float(self.eps))

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        log_p = log_probs(logits)
        return ((1 - self.eps) * nll(log_p, targets) - self.eps * log_p.mean(dim=1)).mean()

    def close_epoch(self) -> dict[str, float]:
        return {"equivalent_eps": float(self.eps)}
