"""Top-k error, with one rule for ties: of equal logits the class with the lowest index ranks first."""

import numpy as np


def target_rank(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Rank (N,) of the true class, 0 = largest logit. ``logits`` (N, K), ``targets`` (N,) in 0..K-1."""
    own = np.take_along_axis(logits, targets[:, None], axis=1)
    before = np.arange(logits.shape[1]) < targets[:, None]
    return (logits > own).sum(axis=1) + ((logits == own) & before).sum(axis=1)


def top_k_error(logits: np.ndarray, targets: np.ndarray, k: int) -> float:
    """Fraction of samples whose true class is not among the ``min(k, K)`` largest logits (0 when K ≤ k).

    >>> import numpy as np
    >>> top_k_error(np.array([[3.0, 1, 0], [0, 1, 3]]), np.array([0, 1]), k=1)
    0.5
    """
    return float((target_rank(logits, targets) >= min(k, logits.shape[1])).mean())
