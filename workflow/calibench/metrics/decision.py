"""What a decision on the probability of a finding is worth: net benefit (Vickers & Elkin 2006) and its calibration.

Some classes are declared positive, as ``malignant``. Their probabilities add up to one score s, the chance of a finding;
whoever treats at a threshold t says that a missed finding costs (1 - t)/t times a needless treatment.
"""

from collections.abc import Sequence

import numpy as np

from calibench.metrics.probabilities import Predictions

THRESHOLDS = np.arange(1, 100) / 100


def of_positive(seen: Predictions, positive: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Score (N,), the summed probability of the positive classes, at most 1, and whether the true class is one (N,)."""
    score = np.minimum(seen.probs[:, list(positive)].sum(axis=1), 1.0)
    return score, np.isin(seen.targets, list(positive))


def benefit_values(score: np.ndarray, finding: np.ndarray, threshold: float) -> np.ndarray:
    """Per image (N,), values whose mean is the net benefit TP/N - FP/N·t/(1 - t) of treating where s ≥ t."""
    return np.where(score >= threshold, np.where(finding, 1.0, -threshold / (1 - threshold)), 0.0)


def treat_all(finding: np.ndarray, threshold: float) -> float:
    """Net benefit of treating everybody; that of treating nobody is 0."""
    share = float(finding.mean())
    return share - (1 - share) * threshold / (1 - threshold)
