"""Mean output probabilities of the images of each class (LS++ paper, figure 4)."""

import numpy as np

from calibench.metrics.probabilities import softmax


def class_means(logits: np.ndarray, targets: np.ndarray, k: int) -> np.ndarray:
    """(K, K) float64: row y is the mean of softmax over the images of class y; NaN where it has none."""
    sums = np.zeros((k, k))
    np.add.at(sums, targets, softmax(logits))
    counts = np.bincount(targets, minlength=k)[:, None]
    return np.divide(sums, counts, out=np.full((k, k), np.nan), where=counts > 0)
