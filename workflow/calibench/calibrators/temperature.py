"""Temperature scaling: one number that softens or sharpens every prediction."""

import numpy as np

from calibench.calibrators.fold import CalibrateFold, Calibrator
from calibench.metrics.probabilities import log_softmax, softmax

TEMPERATURES = (1e-2, 1e2)


def _nll_of_scale(scale: float, logits: np.ndarray, targets: np.ndarray) -> tuple[float, float, float]:
    """NLL of softmax(scale · z) and its first two derivatives in ``scale`` (convex: the second is a
    variance).
    """
    log_p = log_softmax(scale * logits)
    p = np.exp(log_p)
    own = np.arange(len(targets)), targets
    mean = (p * logits).sum(axis=1)
    spread = (p * (logits - mean[:, None]) ** 2).sum(axis=1)
    return float(-log_p[own].mean()), float((mean - logits[own]).mean()), float(spread.mean())


def best_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The temperature in [0.01, 100] with the lowest NLL: Newton in 1/T, bisecting where a step leaves it.

    NLL is convex in 1/T, so the minimum is unique; it nears the upper bound when the logits say less than nothing. On
    a fold without a mistake NLL falls towards T = 0: the search stops where its slope is 0 in float64.
    """
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    scale = 1.0
    for _ in range(100):
        _, slope, bend = _nll_of_scale(scale, logits, targets)
        low, high = (scale, high) if slope < 0 else (low, scale)
        step = scale - slope / bend if bend > 0 else np.inf
        new = step if low < step < high else np.sqrt(low * high)
        if abs(new - scale) <= 1e-10 * scale:
            break
        scale = new
    return float(1 / scale)


def temperature(fold: CalibrateFold) -> Calibrator:
    """softmax(z / T) (Guo et al. 2017, eq. 9); the order of the classes, hence every error, stays.

    >>> import numpy as np
    >>> logits = np.array([[4.0, 0], [4, 0], [4, 0], [0, 4]])
    >>> fold = CalibrateFold(logits, np.array([0, 0, 1, 1]), ["calibrate"] * 4)
    >>> fitted = temperature(fold)
    >>> fitted.apply(logits).round(2).tolist()
    [[0.75, 0.25], [0.75, 0.25], [0.75, 0.25], [0.25, 0.75]]
    """
    t = best_temperature(fold.logits, fold.targets)
    error = _error_of_scale(1 / t, fold)

    def doubt(logits: np.ndarray) -> np.ndarray:
        """dp/d(1/T) = p·(z - mean z) of the largest z, times the standard error of 1/T."""
        p = softmax(logits / t)
        top = np.asarray(logits, np.float64).max(axis=1)
        return error * p.max(axis=1) * (top - (p * logits).sum(axis=1))

    return Calibrator(
        "temperature", lambda z: softmax(np.asarray(z, np.float64) / t), {"temperature": t}, doubt
    )


def _error_of_scale(scale: float, fold: CalibrateFold) -> float:
    """Standard error of 1/T: the sandwich of an M-estimator, clustered by group; 0 where nothing bends the NLL."""
    p = softmax(scale * fold.logits)
    mean = (p * fold.logits).sum(axis=1)
    slope = mean - fold.logits[np.arange(len(mean)), fold.targets]
    bend = (p * (fold.logits - mean[:, None]) ** 2).sum()
    sums = np.bincount(np.unique(fold.groups, return_inverse=True)[1], weights=slope)
    return float(np.sqrt((sums**2).sum()) / bend) if bend > 1e-9 else 0.0
