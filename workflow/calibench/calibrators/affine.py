"""softmax(W x + b) fitted by NLL with a ridge that holds W near the identity: what several maps share."""

from dataclasses import dataclass

import numpy as np

from calibench.metrics.probabilities import log_softmax


@dataclass(frozen=True)
class Penalty:
    """Weights of the squares added to the mean NLL: of W's diagonal less 1, of the rest of W, of b."""

    diagonal: float
    rest: float
    bias: float


@dataclass(frozen=True)
class Affine:
    """The fitted map: ``weights`` (K, K), or (K,) where only the diagonal is free, and ``bias`` (K,)."""

    weights: np.ndarray
    bias: np.ndarray

    def log_probs(self, x: np.ndarray) -> np.ndarray:
        """(N, K) of scores (N, K)."""
        return log_softmax((x * self.weights if self.weights.ndim == 1 else x @ self.weights.T) + self.bias)


def fit(
    x: np.ndarray, targets: np.ndarray, penalty: Penalty, start: Affine, precision: float = 1e-11
) -> Affine:
    """The minimum of mean NLL + penalty, by L-BFGS; the problem is convex, so the start only saves time.

    Args:
        x: (N, K) float64 scores.
        targets: (N,).
        penalty: see :class:`Penalty`; ``rest`` counts only where all of W is free.
        start: its weights have the shape that is fitted, (K, K) or the diagonal (K,).
        precision: relative change of the objective at which the search ends.
    """
    from scipy.optimize import minimize

    n, k = x.shape
    shape = start.weights.shape
    identity = np.eye(k) if len(shape) == 2 else np.ones(k)
    pull = np.full(shape, penalty.diagonal)
    if len(shape) == 2:
        pull[~np.eye(k, dtype=bool)] = penalty.rest
    own = np.arange(n), targets

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        now = Affine(flat[:-k].reshape(shape), flat[-k:])
        away = now.weights - identity
        log_p = now.log_probs(x)
        error = np.exp(log_p)
        value = -log_p[own].mean() + (pull * away**2).sum() + penalty.bias * (now.bias**2).sum()
        error[own] -= 1
        slope = (error.T @ x if len(shape) == 2 else (error * x).sum(axis=0)) / n + 2 * pull * away
        return float(value), np.concatenate([slope.ravel(), error.mean(axis=0) + 2 * penalty.bias * now.bias])

    first = np.concatenate([start.weights.ravel(), start.bias])
    options = {"maxiter": 1000, "maxfun": 2000, "ftol": precision, "gtol": 1e-7}
    flat = minimize(objective, first, jac=True, method="L-BFGS-B", options=options).x
    return Affine(flat[:-k].reshape(shape), flat[-k:])
