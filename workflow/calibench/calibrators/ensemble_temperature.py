"""Ensemble temperature scaling: the tempered, the plain and the uniform prediction, mixed."""

import numpy as np

from calibench.calibrators.fold import CalibrateFold, Calibrator
from calibench.calibrators.temperature import best_temperature
from calibench.metrics.probabilities import softmax


def ensemble_temperature(fold: CalibrateFold) -> Calibrator:
    """w₁ softmax(z/T) + w₂ softmax(z) + w₃/K, w ≥ 0 summing to 1 (Zhang et al. 2020, Mix-n-Match, eq. 8).

    T is that of temperature scaling; the weights minimise NLL by expectation-maximisation, which never
    leaves the simplex and never raises the NLL.
    """
    t = best_temperature(fold.logits, fold.targets)
    own = np.arange(len(fold.targets)), fold.targets
    k = fold.logits.shape[1]
    parts = np.stack(
        [softmax(fold.logits / t)[own], softmax(fold.logits)[own], np.full(len(own[0]), 1 / k)], axis=1
    )
    weights = np.array([0.9, 0.05, 0.05])
    for _ in range(2000):
        share = parts * weights
        new = (share / share.sum(axis=1, keepdims=True)).mean(axis=0)
        if np.abs(new - weights).max() < 1e-9:
            break
        weights = new

    def apply(logits: np.ndarray) -> np.ndarray:
        z = np.asarray(logits, np.float64)
        return weights[0] * softmax(z / t) + weights[1] * softmax(z) + weights[2] / k

    names = ["weight_tempered", "weight_plain", "weight_uniform"]
    parameters = {"temperature": t} | dict(zip(names, map(float, weights), strict=True))
    return Calibrator("ensemble_temperature", apply, parameters)
