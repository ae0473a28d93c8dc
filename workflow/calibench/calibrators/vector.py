"""Vector scaling: a weight and a bias per class."""

import numpy as np

from calibench.calibrators.fold import CalibrateFold, Calibrator
from calibench.calibrators.temperature import best_temperature
from calibench.metrics.probabilities import log_softmax, softmax


def vector(fold: CalibrateFold) -> Calibrator:
    """softmax(w ∘ z + b) with a weight and a bias per class (Guo et al. 2017, sec. 4.2), by L-BFGS.

    No regularisation, as in the paper: with few samples per class it overfits, which the table then shows.
    """
    from scipy.optimize import minimize

    z, y = fold.logits, fold.targets
    n, k = z.shape
    onehot = np.bincount(y, minlength=k) / n
    own = z[np.arange(n), y]
    own_sum = np.bincount(y, weights=own, minlength=k) / n

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        w, b = x[:k], x[k:]
        log_p = log_softmax(w * z + b)
        p = np.exp(log_p)
        gradient = np.concatenate([(p * z).sum(axis=0) / n - own_sum, p.mean(axis=0) - onehot])
        return float(-log_p[np.arange(n), y].mean()), gradient

    start = np.concatenate([np.full(k, 1 / best_temperature(z, y)), np.zeros(k)])
    x = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    return Calibrator("vector", lambda logits: softmax(x[:k] * np.asarray(logits, np.float64) + x[k:]))
