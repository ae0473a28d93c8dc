"""Hard labels: plain cross-entropy, the regime all others are measured against."""

import torch
import torch.nn.functional as F
from torch import Tensor

from calibench.regimes.base import Regime


class Hard(Regime):
    """Cross-entropy with the one-hot label, mean over the batch."""

    name = "hard"
    label = "Hard labels"
    source = "cross-entropy"

    def class_targets(self) -> Tensor:
        return torch.eye(self.num_classes)

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        return F.cross_entropy(logits.float(), targets)
