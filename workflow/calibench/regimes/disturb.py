"""DisturbLabel: a share of the labels is wrong, different ones in every batch."""

import torch
from torch import Tensor

from calibench.regimes.base import Regime
from calibench.regimes.functional import check_range, log_probs, nll, step_generator


class Disturb(Regime):
    """Cross-entropy; in training each label is replaced by a random different class with probability
    rate·(K-1)/K.

    Args:
        rate: in [0, 1]; 0.1 as in the source (a label drawn from all K classes with this probability).
    """

    name = "disturb"
    label = "Disturb Label"
    source = "Xie et al. 2016, DisturbLabel: regularizing CNN on the loss layer"
    needs = ("step_seed",)

    def __init__(self, num_classes: int, *, rate: float = 0.1) -> None:
        super().__init__(num_classes)
        check_range("disturb: rate", rate, 0, 1)
        self.rate = rate

    def disturbed(self, targets: Tensor, step_seed: int) -> Tensor:
        """The labels (B,) of this step."""
        generator, size = step_generator(step_seed), len(targets)
        chosen = torch.rand(size, generator=generator) < self.rate * (self.num_classes - 1) / self.num_classes
        shift = torch.randint(1, self.num_classes, (size,), generator=generator)
        return (targets + (chosen * shift).to(targets.device, non_blocking=True)) % self.num_classes

    def loss(self, logits: Tensor, targets: Tensor, *, step_seed: int = 0, **extras) -> Tensor:
        labels = self.disturbed(targets, step_seed) if self.training else targets
        return nll(log_probs(logits), labels).mean()
