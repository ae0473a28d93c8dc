"""Class adaptive label smoothing: a penalty on large logit distances with a learned weight for each class."""

import logging

import torch
from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_choice, check_range, check_steps, log_probs, nll

LOW, HIGH = 1e-6, 1e6  # bounds of λ, authors' code


class CALS(Regime):
    """CE + P(h_k; λ_k, ρ_k), mean over batch and classes, h_k = (max z - z_k - m)/m.

    P is λh + ρh²/2 where λ + ρh ≥ 0, else -λ²/(2ρ) (augmented Lagrangian, PHR). After each epoch λ_k becomes
    the mean of relu(λ_k + ρ_k·h_k) over the *validation* images; every ``rho_every`` epochs ρ_k is multiplied by
    ``growth`` where the mean of h_k is above ``shrink`` times that of the last epoch (authors' code: with ρ for
    each class, as here, a negative last value counts as 0). Validation takes part in training, so its validation
    numbers are not independent.

    Buffers: ``lam``, ``rho``, ``last`` (K,): λ, ρ, mean h of the last validation; ``epoch``, a number.

    Args:
        margin: m > 0; 10 from the source (20 in a config of the authors).
        rho: ρ at the start, > 0; 1 from the source.
        rho_max: largest ρ; 10, authors' code.
        rho_every: epochs between two changes of ρ; 10 from the source. ``None`` = ρ stays.
        growth: factor ≥ 1 on ρ; 1.2 from the source.
        shrink: in [0, 1]; 0.9, authors' code.
        over_classes: "mean" (authors' present code) or "sum" (their earlier code).
    """

    name = "cals"
    label = "CALS"
    source = "Liu et al. 2023, Class adaptive network calibration"

    def __init__(
        self,
        num_classes: int,
        *,
        margin: float = 10.0,
        rho: float = 1.0,
        rho_max: float = 10.0,
        rho_every: int | None = 10,
        growth: float = 1.2,
        shrink: float = 0.9,
        over_classes: str = "mean",
    ) -> None:
        super().__init__(num_classes)
        check_range("cals: margin", margin, 0, open_low=True)
        check_range("cals: rho", rho, 0, open_low=True)
        check_range("cals: rho_max", rho_max, rho)
        check_steps("cals: rho_every", rho_every)
        check_range("cals: growth", growth, 1)
        check_range("cals: shrink", shrink, 0, 1)
        check_choice("cals: over_classes", over_classes, ("mean", "sum"))
        self.margin, self.rho_max, self.rho_every = margin, rho_max, rho_every
        self.growth, self.shrink = growth, shrink
        self.classes = num_classes if over_classes == "sum" else 1
        self.register_buffer("lam", torch.full((num_classes,), LOW))
        self.register_buffer("rho", torch.full((num_classes,), float(rho)))
        self.register_buffer("last", torch.full((num_classes,), torch.inf))  # inf: no validation yet
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))

    def _distances(self, logits: Tensor) -> Tensor:
        z = logits.float()
        return (z.amax(dim=1, keepdim=True) - z) / self.margin - 1

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        h = self._distances(logits)
        inside = self.lam + self.rho * h >= 0
        penalty = torch.where(inside, h * (self.lam + self.rho * h / 2), -self.lam.square() / (2 * self.rho))
        return nll(log_probs(logits), targets).mean() + self.classes * penalty.mean()

    def validated(self, logits: Tensor, targets: Tensor) -> None:
        if not self.epoch:
            logging.getLogger(__name__).warning(
                "cals uses the validation images in training; see docs/regimes.md"
            )
        h = self._distances(logits.to(self.lam.device))
        mean = h.mean(dim=0)
        self.lam.copy_((self.lam + self.rho * h).clamp(LOW, HIGH).mean(dim=0))
        if self.rho_every is not None and (int(self.epoch) + 1) % self.rho_every == 0:
            slow = mean > self.shrink * self.last.clamp(min=0)
            grown = (self.growth * self.rho).clamp(max=self.rho_max)
            self.rho.copy_(torch.where(slow & self.last.isfinite(), grown, self.rho))
        self.last.copy_(mean)

    def close_epoch(self) -> dict[str, float]:
        """Report the means over the classes of λ (``lam``) and ρ (``rho``)."""
        self.epoch += 1
        return {"lam": float(self.lam.mean()), "rho": float(self.rho.mean())}
