"""Proper scores: negative log-likelihood and the multiclass Brier score (Brier 1950)."""

import numpy as np


def nll(log_probs: np.ndarray, targets: np.ndarray) -> float:
    """Mean negative log-probability of the true class, in nats, from log-probabilities (N, K)."""
    return float(-np.take_along_axis(log_probs, targets[:, None], axis=1).mean())


def brier(probs: np.ndarray, targets: np.ndarray) -> float:
    """Mean over samples of the sum over classes of (p - onehot)², in [0, 2]; not halved for two classes."""
    own = np.take_along_axis(probs, targets[:, None], axis=1)[:, 0]
    return float((np.einsum("nk,nk->n", probs, probs) - 2 * own + 1).mean())
