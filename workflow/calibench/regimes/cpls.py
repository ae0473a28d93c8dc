"""Label smoothing towards the classes the model confuses on validation."""

import logging

import torch
from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, entropy, log_probs, nll, soft_nll


class CPLS(Regime):
    """Cross-entropy against (1-ε)·onehot + ε·c_y, c_y ∝ validation confusions of class y in the last epoch,
    plus 1.

    c_y is 0 for the class itself; before the first validation it is uniform over the others. No code is public
    and the formula is ours. Validation takes part in training, so its validation numbers are not independent.
    Buffer: ``confusions`` (K, K), counts, row = true class, column = predicted, diagonal 0.

    Args:
        eps: ε in [0, 1]; 0.1, as for LS.
    """

    name = "cpls"
    label = "CPLS"
    source = "confusion-penalty label smoothing, formula ours"

    def __init__(self, num_classes: int, *, eps: float = 0.1) -> None:
        super().__init__(num_classes)
        check_range("cpls: eps", eps, 0, 1)
        self.eps = eps
        self.register_buffer("confusions", torch.zeros(num_classes, num_classes))

    def validated(self, logits: Tensor, targets: Tensor) -> None:
        if not self.confusions.any():
            logging.getLogger(__name__).warning(
                "cpls uses the validation images in training; see docs/regimes.md"
            )
        k = self.num_classes
        targets = targets.to(self.confusions.device)
        predicted = logits.argmax(dim=1).to(targets.device)
        counts = torch.bincount(targets * k + predicted, minlength=k * k).view(k, k)
        self.confusions.copy_(counts.fill_diagonal_(0))

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        log_p = log_probs(logits)
        soft = soft_nll(log_p, self._rows(targets))
        return ((1 - self.eps) * nll(log_p, targets) + self.eps * soft).mean()

    def _rows(self, targets: Tensor) -> Tensor:
        weights = (self.confusions[targets] + 1).scatter(1, targets[:, None], 0.0)
        return weights / weights.sum(dim=1, keepdim=True)

    def close_epoch(self) -> dict[str, float]:
        """Report ``confusions`` of the last validation and ``matrix_entropy``, mean entropy of c in nats."""
        rows = self._rows(torch.arange(self.num_classes, device=self.confusions.device))
        return {"confusions": float(self.confusions.sum()), "matrix_entropy": float(entropy(rows).mean())}
