"""A control for OLS: the same confidence without the class structure."""

import torch
from torch import Tensor

from calibench.regimes.ols import OLS


class OLSFlat(OLS):
    """OLS whose rows keep S[y,y] and spread the rest evenly over the other classes.

    Same mass and schedule as OLS, no class structure: the difference between the two shows the effect of the
    structure. Settings as for :class:`calibench.regimes.ols.OLS`.
    """

    name = "ols_flat"
    label = "OLS flat"
    source = "ours, a control"

    def rows_of_means(self, means: Tensor) -> Tensor:
        diagonal = means.diagonal()
        rest = (means.sum(dim=1) - diagonal) / (self.num_classes - 1)
        off = rest[:, None].expand_as(means)
        return torch.where(torch.eye(self.num_classes, dtype=torch.bool, device=means.device), means, off)
