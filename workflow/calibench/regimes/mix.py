"""Several regimes at once: does a second method help on top of the first?"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from calibench.regimes.combined import Combined
from calibench.regimes.ranges import check_weights


class Mix(Combined):
    """Σ_i w_i·loss_i over named regimes, each with its own settings and state.

    Most losses contain a cross-entropy. A weight may be negative: ``hard: -1`` subtracts one cross-entropy, so that
    the default is focal loss + MDCA's term (Hebbalaguppe et al. 2022).

    Args:
        of: the regimes and their weights w; at least two, none 0. Ours.
        settings: settings of these regimes, by their names; all others have their defaults.
    """

    name = "mix"
    label = "Mix"
    source = "ours; FL+MDCA: Hebbalaguppe et al. 2022, A stitch in time saves nine"
    combines = True

    def __init__(
        self,
        num_classes: int,
        *,
        of: Mapping[str, float] = {"focal": 1.0, "mdca": 1.0, "hard": -1.0},
        settings: Mapping[str, Mapping[str, Any]] = {},
    ) -> None:
        check_weights(of)
        super().__init__(num_classes, of, settings)
        self.weights = {name: float(of[name]) for name in self.parts}

    def loss(self, logits: Tensor, targets: Tensor, **extras) -> Tensor:
        terms = [w * self.parts[name].loss(logits, targets, **extras) for name, w in self.weights.items()]
        return torch.stack(terms).sum()

    def class_targets(self) -> Tensor | None:
        """The weighted mean of the parts' labels; None if a part has none or the mean is not a distribution."""
        labels = {name: self.parts[name].class_targets() for name in self.weights}
        if any(label is None for label in labels.values()) or sum(self.weights.values()) <= 0:
            return None
        mean = sum(w * labels[name].cpu() for name, w in self.weights.items()) / sum(self.weights.values())
        return mean if bool((mean >= 0).all()) else None
