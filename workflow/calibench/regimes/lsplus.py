"""LS+: label smoothing whose prior for a class is the accuracy a finished model has on that class."""

import torch
from torch import Tensor

from calibench.errors import UserError
from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, kl, log_probs, nll


class LSPlus(Regime):
    """(1-α)·CE + α·KL(v^y ‖ p), v^k = V_k on class k, (1-V_k)/(K-1) elsewhere.

    V_k is the validation accuracy of a ``hard`` run on class k. The target probability of the true class is
    1 - α(1-V_k), not V_k. A class without validation images gets the accuracy over all images (ours).
    Buffer: ``accuracy`` V, (K,).

    Args:
        alpha: weight of the prior in [0, 1]; 0.5 from the source.
        prior: run whose validation predictions give V, ``backbone/regime``.
    """

    name = "lsplus"
    label = "LS+"
    source = "Sambyal et al. 2024, LS+: informed label smoothing for improving calibration, Algorithm 1"
    inputs = ("val_logits", "val_targets")
    other_runs = {"prior": "predictions"}

    def __init__(self, num_classes: int, *, alpha: float = 0.5, prior: str = "{backbone}/hard") -> None:
        super().__init__(num_classes)
        check_range("lsplus: alpha", alpha, 0, 1)
        self.alpha, self.prior = alpha, prior
        self.register_buffer("accuracy", torch.full((num_classes,), 1 / num_classes))

    def take(self, val_logits, val_targets) -> None:
        logits, targets = torch.as_tensor(val_logits), torch.as_tensor(val_targets).long()
        if logits.ndim != 2 or logits.shape != (len(targets), self.num_classes) or not len(targets):
            raise UserError(
                f"lsplus: the validation logits of '{self.prior}' have shape {tuple(logits.shape)}; "
                f"({len(targets)}, {self.num_classes}) is needed, with at least one image"
            )
        right = (logits.argmax(dim=1) == targets).double()
        n = torch.bincount(targets, minlength=self.num_classes)
        hits = torch.bincount(targets, weights=right, minlength=self.num_classes)
        self.accuracy.copy_(torch.where(n > 0, hits / n.clamp(min=1), right.mean()))

    def class_targets(self) -> Tensor:
        """(1-α)·onehot + α·v^y."""
        k, accuracy = self.num_classes, self.accuracy.cpu()
        prior = ((1 - accuracy) / (k - 1))[:, None].expand(k, k).diagonal_scatter(accuracy)
        return (1 - self.alpha) * torch.eye(k) + self.alpha * prior

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        log_p = log_probs(logits)
        accuracy = self.accuracy[targets][:, None]
        prior = (
            ((1 - accuracy) / (self.num_classes - 1)).expand_as(log_p).scatter(1, targets[:, None], accuracy)
        )
        return ((1 - self.alpha) * nll(log_p, targets) + self.alpha * kl(prior, log_p)).mean()

    def close_epoch(self) -> dict[str, float]:
        return {"mean_prior": float(self.accuracy.mean())}
