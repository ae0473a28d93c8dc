"""Proper scores: negative log-likelihood and the multiclass Brier score (Brier 1950)."""

import numpy as np


def nll(log_probs: np.ndarray, targets: np.ndarray) -> float:
    """Mean negative log-probability of the true class, in nats, from log-probabilities (N, K).

    >>> import numpy as np
    >>> round(nll(np.log([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 0])), 4)
    0.3993
    """
    return float(-np.take_along_axis(log_probs, targets[:, None], axis=1).mean())


def brier(probs: np.ndarray, targets: np.ndarray) -> float:
    """Mean over samples of the sum over classes of (p - onehot)², in [0, 2]; not halved for two classes.

    >>> import numpy as np
    >>> round(brier(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 0])), 4)
    0.25
    """
    own = np.take_along_axis(probs, targets[:, None], axis=1)[:, 0]
    return float((np.einsum("nk,nk->n", probs, probs) - 2 * own + 1).mean())
