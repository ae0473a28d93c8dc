"""Max suppression."""

import torch
from torch import Tensor

from calibench.errors import UserError
from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, log_probs, nll


class MaxSup(Regime):
    """CE + λ·(max_k z_k - mean_k z_k), mean over the batch; label smoothing lowers z_y instead of the maximum.

    Buffer: ``epoch``, the number of finished epochs.

    Args:
        lam: λ ≥ 0; 0.1 from the source.
        lam_end: ``None`` = λ stays (source), or λ rises linearly from ``lam`` towards ``lam_end``:
            lam + (lam_end - lam)·e/E in epoch e of E, e from 0; 0.2 in the authors' ImageNet script. E is then the
            input ``epochs``.
    """

    name = "maxsup"
    label = "MaxSup"
    source = "Zhou et al. 2025, MaxSup: overcoming representation collapse in label smoothing"
    inputs = ("epochs",)

    def __init__(self, num_classes: int, *, lam: float = 0.1, lam_end: float | None = None) -> None:
        if lam_end is None:
            self.inputs = ()
        super().__init__(num_classes)
        check_range("maxsup: lam", lam, 0)
        if lam_end is not None:
            check_range("maxsup: lam_end", lam_end, 0)
        self.lam, self.lam_end = lam, lam_end
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))
        self.register_buffer("epochs", torch.ones((), dtype=torch.int64))

    def take(self, epochs: int) -> None:
        if int(epochs) < 1:
            raise UserError(f"maxsup: epochs is {epochs}; it must be the number of epochs of the training")
        self.epochs.fill_(int(epochs))

    def weight(self) -> float | Tensor:
        """λ of this epoch."""
        if self.lam_end is None:
            return self.lam
        return self.lam + (self.lam_end - self.lam) * (self.epoch / self.epochs)

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        z = logits.float()
        excess = z.amax(dim=1) - z.mean(dim=1)
        return (nll(log_probs(z), targets) + self.weight() * excess).mean()

    def close_epoch(self) -> dict[str, float]:
        """Report ``lam``, the λ of this epoch."""
        report = {"lam": float(self.weight())}
        self.epoch += 1
        return report
