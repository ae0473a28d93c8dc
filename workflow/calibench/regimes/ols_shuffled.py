"""A control for OLS: the same numbers in every row, but the wrong classes are permuted."""

from typing import Any

import torch
from torch import Tensor

from calibench.regimes.functional import other_classes
from calibench.regimes.ols import OLS


class OLSShuffled(OLS):
    """OLS whose rows keep S[y,y] and permute the rest, by one permutation per class for the whole run.

    Same mass, entropy and schedule as OLS, no class structure. Buffer: ``order`` (K, K), the column that each entry
    comes from.

    Args:
        seed: of the permutations. Other settings as for OLS.
    """

    name = "ols_shuffled"
    label = "OLS shuffled"
    source = "ours, a control"

    def __init__(self, num_classes: int, *, seed: int = 0, **settings: Any) -> None:
        super().__init__(num_classes, **settings)
        generator = torch.Generator().manual_seed(seed)
        order = torch.arange(num_classes).repeat(num_classes, 1)
        for row, others in zip(order, other_classes(torch.arange(num_classes), num_classes), strict=True):
            row[others] = others[torch.randperm(num_classes - 1, generator=generator)]
        self.register_buffer("order", order)

    def rows_of_means(self, means: Tensor) -> Tensor:
        return means.gather(1, self.order)
