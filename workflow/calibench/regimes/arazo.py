"""Dynamic bootstrapping: a label counts less if the loss of its image looks like the loss of a wrong label."""

import math

import numpy as np
import torch
from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.betamixture import fit, posterior_of_wrong
from calibench.regimes.functional import check_choice, check_range, log_probs, nll, soft_nll

CELLS = 100  # of the table of posteriors, authors' code
# authors' code: lowest distance from 0 and 1 of a normalised loss in the fit and later, and of a posterior
FIT_EDGE, EDGE, SURE = 1e-4, 1e-3, 1e-4


class Arazo(Regime):
    """CE; then (1-B)·CE(z, y) + B·CE(z, ŷ) + η·KL(uniform ‖ mean p of the batch).

    After each epoch a mixture of two beta distributions is fitted to the losses of all training images (evaluation
    mode, augmented). B is the posterior of the component with the large losses for the loss of the image, ŷ the
    prediction of the network for it. The published M-DYR-H is this with ``augment: {mixup: 32}``: z is then of the
    mixed image, B and ŷ of the two images in it. Needs three forward passes per step (two without mixup) and, from
    the epoch before bootstrapping on, a pass over the training images after each epoch. For label noise.

    Buffers: ``epoch``; ``begins``, the first epoch with bootstrapping; ``low``, ``high``, the losses that are scaled
    to 0 and 1; ``table`` (100,), posteriors. The losses (4·N bytes) are kept from the pass to the end of the epoch.

    Args:
        bootstrap_from: first epoch (from 0) with bootstrapping; below 1 a share of all epochs; 106 of 300 from the
            authors' code.
        prediction: ŷ: "hard" = its most probable class (M-DYR-H) or "soft" = its probabilities (M-DYR-S).
        eta: η ≥ 0; 1, the authors' commands.
    """

    name = "arazo"
    label = "Arazo et al."
    source = "Arazo et al. 2019, Unsupervised label noise modeling and loss correction"
    needs = ("plain_logits",)
    inputs = ("epochs",)

    def __init__(
        self,
        num_classes: int,
        *,
        bootstrap_from: float = 0.3533333,
        prediction: str = "hard",
        eta: float = 1.0,
    ) -> None:
        super().__init__(num_classes)
        check_range("arazo: bootstrap_from", bootstrap_from, 0)
        check_choice("arazo: prediction", prediction, ("hard", "soft"))
        check_range("arazo: eta", eta, 0)
        self.bootstrap_from, self.hard, self.eta = bootstrap_from, prediction == "hard", eta
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))
        self.register_buffer("begins", torch.zeros((), dtype=torch.float64))
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.register_buffer("table", torch.zeros(CELLS))
        self._losses: list[Tensor] = []
        self.needs = ()
        self._epochs_left: float | None = None  # copy on the host: reading the device at every step is slow

    def take(self, epochs: int) -> None:
        share = self.bootstrap_from
        self.begins.fill_(share * int(epochs) if share < 1 else share)
        self.loaded()

    def loaded(self) -> None:
        self._epochs_left = float(self.begins - self.epoch)
        self.needs = type(self).needs if self.bootstraps else ()

    @property
    def bootstraps(self) -> bool:
        """Whether this epoch uses bootstrapping, and needs the extra forward passes."""
        return self._epochs_left is not None and self._epochs_left <= 0

    @property
    def reviews(self) -> bool:
        return self._epochs_left is not None and self._epochs_left <= 1

    def wrong(self, losses: Tensor) -> Tensor:
        """Probability B that a label with this loss is wrong, (B,)."""
        scaled = ((losses - self.low) / (self.high - self.low + 1e-6)).clamp(EDGE, 1 - EDGE)
        return self.table[(scaled * CELLS).long()].clamp(SURE, 1 - SURE)

    def loss(
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        plain_logits: Tensor | None = None,
        eval_logits: Tensor | None = None,
        **extras,
    ) -> Tensor:
        log_p = log_probs(logits)
        given = nll(log_p, targets)
        if not self.bootstraps:
            return given.mean()
        wrong = self.wrong(nll(log_probs(eval_logits), targets))
        if self.hard:
            own = nll(log_p, plain_logits.argmax(dim=1))
        else:
            own = soft_nll(log_p, log_probs(plain_logits).exp())
        log_mean = log_p.logsumexp(dim=0) - math.log(len(targets))
        spread = -math.log(self.num_classes) - log_mean.mean()
        return ((1 - wrong) * given + wrong * own).mean() + self.eta * spread

    def review(self, logits: Tensor, targets: Tensor) -> None:
        self._losses.append(nll(log_probs(logits), targets).cpu())

    def close_epoch(self) -> dict[str, float]:
        """Fit the mixture if there are losses; report ``noise``, the mean B over the training images."""
        report = {}
        if self._losses:
            losses, self._losses = torch.cat(self._losses), []
            self._fit(losses)
            report["noise"] = float(self.wrong(losses.to(self.low.device)).mean())
        self.epoch += 1
        self.loaded()
        return report

    def _fit(self, losses: Tensor) -> None:
        """Update ``low``, ``high`` and ``table``; behind its maximum the table stays at the maximum."""
        # NumPy: the quantile of torch has a limit of 16 million values
        low, high = np.percentile(losses.double().numpy(), (5, 95))
        inner = losses[(losses >= low) & (losses <= high)].double()
        mixture = fit(((inner - low) / (high - low + 1e-6)).clamp(FIT_EDGE, 1 - FIT_EDGE))
        table = posterior_of_wrong(mixture, torch.linspace(1e-12, 1 - 1e-12, CELLS, dtype=torch.float64))
        table[int(table.argmax()) :] = table.max()
        self.low.fill_(low)
        self.high.fill_(high)
        self.table.copy_(table)
