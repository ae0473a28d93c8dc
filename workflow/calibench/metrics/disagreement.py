"""The mean of several networks' probabilities, and how far the networks disagree."""

from itertools import combinations

import numpy as np
from scipy.special import entr

from calibench.metrics.probabilities import Predictions


def _entropy(probs: np.ndarray) -> float:
    """Mean entropy of the rows in nats."""
    return float(entr(probs).sum(axis=1).mean())


class Members:
    """Networks that looked at the same N images; added one by one, so that one is in memory at a time."""

    def __init__(self) -> None:
        self.total: np.ndarray | None = None
        self.entropies: list[float] = []
        self.predicted: list[np.ndarray] = []

    def add(self, seen: Predictions) -> None:
        """Add the predictions of one network."""
        self.total = seen.probs.copy() if self.total is None else self.total + seen.probs
        self.entropies.append(_entropy(seen.probs))
        self.predicted.append(seen.predicted)

    @property
    def probs(self) -> np.ndarray:
        """Mean of the probabilities (N, K)."""
        return self.total / len(self.predicted)

    def measures(self) -> dict[str, float]:
        """``members``; ``disagreement``: share of images on which two members name different classes, mean over pairs;
        ``mutual_information`` in nats: entropy of the mean minus mean entropy of the members, what they do not share
        (Depeweg et al. 2018).
        """
        pairs = [float((a != b).mean()) for a, b in combinations(self.predicted, 2)]
        return {
            "members": float(len(self.predicted)),
            "disagreement": float(np.mean(pairs)),
            "mutual_information": _entropy(self.probs) - float(np.mean(self.entropies)),
        }
