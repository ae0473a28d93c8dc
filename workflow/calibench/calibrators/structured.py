"""Structured vector and matrix scaling (Berta et al. 2026, arXiv 2511.03685): penalties that follow from N and K."""

from collections.abc import Callable

import numpy as np

from calibench.calibrators.affine import Affine, Penalty, fit
from calibench.calibrators.fold import CalibrateFold, Calibrator
from calibench.calibrators.temperature import best_temperature
from calibench.metrics.probabilities import softmax


def structured_vector(fold: CalibrateFold) -> Calibrator:
    """softmax((1 + v) ∘ x + b), x the log-probabilities after a temperature, mixed with 1/(N + 1) of the uniform one.

    Added to the mean NLL: (K/N)·(‖v‖² + ‖b‖²). Nothing is tuned, so no fold has to be cut.
    """
    n, k = fold.logits.shape
    return _fitted("structured_vector", fold, Penalty(k / n, np.inf, k / n), np.ones(k))


def structured_matrix(fold: CalibrateFold) -> Calibrator:
    """softmax((I + D + M)x + b), x and the penalties of D and b as for :func:`structured_vector`, and
    (K(K - 1)/N)·‖M‖² for M, which has no diagonal.

    With as many classes as images per class M is held at almost 0, and the map is the structured vector one.
    """
    n, k = fold.logits.shape
    return _fitted("structured_matrix", fold, Penalty(k / n, k * (k - 1) / n, k / n), np.eye(k))


def _fitted(name: str, fold: CalibrateFold, penalty: Penalty, identity: np.ndarray) -> Calibrator:
    scores = _tempered(fold)
    found = fit(scores(fold.logits), fold.targets, penalty, Affine(identity, np.zeros(len(identity))))
    return Calibrator(name, lambda logits: np.exp(found.log_probs(scores(logits))))


def _tempered(fold: CalibrateFold) -> Callable[[np.ndarray], np.ndarray]:
    """Logits (N, K) → log-probabilities after temperature scaling, none below log(1/((N + 1)·K))."""
    t, n = best_temperature(fold.logits, fold.targets), len(fold.targets)

    def scores(logits: np.ndarray) -> np.ndarray:
        p = softmax(np.asarray(logits, np.float64) / t)
        return np.log(n / (n + 1) * p + 1 / (n + 1) / p.shape[1])

    return scores
