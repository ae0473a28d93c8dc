"""A mixture of two beta distributions, fitted by expectation and weighted moments (Arazo et al. 2019)."""

from dataclasses import dataclass

import torch
from torch import Tensor

STEPS = 10  # of expectation and maximisation, authors' code


@dataclass(frozen=True)
class BetaMixture:
    """Parameters of both components, (2,) float64 each; the second starts at the larger losses."""

    alpha: Tensor
    beta: Tensor
    weight: Tensor


def posterior(mixture: BetaMixture, x: Tensor) -> Tensor:
    """Probability of each component for x in (0, 1), (N, 2) float64."""
    parts = torch.distributions.Beta(mixture.alpha, mixture.beta, validate_args=False)
    return (parts.log_prob(x[:, None]) + mixture.weight.log()).softmax(dim=1)


def posterior_of_wrong(mixture: BetaMixture, x: Tensor) -> Tensor:
    """Probability of the second component, that of the large losses, (N,)."""
    return posterior(mixture, x)[:, 1]


def fit(x: Tensor) -> BetaMixture:
    """Fit to values x (N,) float64 in (0, 1), from Beta(1, 2) and Beta(2, 1) with equal weights.

    The parameters are finite even if all values are equal or a component gets none.
    """
    pair = torch.tensor([1.0, 2.0], dtype=torch.float64)
    mixture = BetaMixture(pair, pair.flip(0), torch.full_like(pair, 0.5))
    for _ in range(STEPS):
        share = posterior(mixture, x)
        total = share.sum(dim=0).clamp(min=1e-9)
        mean = ((share * x[:, None]).sum(dim=0) / total).clamp(1e-6, 1 - 1e-6)
        variance = ((share * (x[:, None] - mean).square()).sum(dim=0) / total).clamp(min=1e-9)
        alpha = (mean * (mean * (1 - mean) / variance - 1)).clamp(min=1e-6)
        mixture = BetaMixture(alpha, alpha * (1 - mean) / mean, total / total.sum())
    return mixture
