"""Post-hoc calibrators: fitted on the `calibrate` part of validation, applied to other logits.

A calibrator can only be fitted on a :class:`CalibrateFold`, and that can only be made of rows whose part is
`calibrate`: fitting on test is impossible by construction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from calibench.errors import UserError
from calibench.metrics.probabilities import Predictions, log_softmax, softmax

TEMPERATURES = (1e-2, 1e2)


class CalibrateFold:
    """Logits (N, K) and targets (N,) of rows that are all of part `calibrate`.

    Raises:
        UserError: if any row is of another part, or there is none.
    """

    def __init__(self, logits: np.ndarray, targets: np.ndarray, part: Sequence[str], where: str = "") -> None:
        others = set(part) - {"calibrate"}
        if others:
            raise UserError(
                f"{where}: calibrators are fitted on part calibrate only, not on {sorted(others)[0]}"
            )
        seen = Predictions.of(logits, targets, where)
        self.logits, self.targets = seen.scores.astype(np.float64), seen.targets


@dataclass(frozen=True)
class Calibrator:
    """A fitted calibrator: ``apply`` maps logits (N, K) to probabilities (N, K); ``parameters`` are for the
    table.
    """

    name: str
    apply: Callable[[np.ndarray], np.ndarray]
    parameters: dict[str, float] = field(default_factory=dict)


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
    """softmax(z / T) (Guo et al. 2017, eq. 9); the order of the classes, hence every error, stays."""
    t = best_temperature(fold.logits, fold.targets)
    return Calibrator("temperature", lambda z: softmax(np.asarray(z, np.float64) / t), {"temperature": t})


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


def isotonic(fold: CalibrateFold) -> Calibrator:
    """A monotone map of each class's probability, one against the rest, normalised (Zadrozny & Elkan 2002).

    A sample to which every class gives 0 keeps its uncalibrated probabilities. A class absent from the fold
    is mapped to 0. Probabilities of exactly 0 are possible: NLL then counts them as 1e-308, and is large.
    """
    from sklearn.isotonic import IsotonicRegression

    probs = softmax(fold.logits)
    maps = []
    for c in range(probs.shape[1]):
        model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        maps.append(model.fit(probs[:, c], fold.targets == c))

    def apply(logits: np.ndarray) -> np.ndarray:
        before = softmax(logits)
        after = np.stack([m.predict(before[:, c]) for c, m in enumerate(maps)], axis=1)
        total = after.sum(axis=1, keepdims=True)
        return np.where(total > 0, after / np.where(total > 0, total, 1), before)

    return Calibrator("isotonic", apply)


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


def prior(fold: CalibrateFold, train_counts: Sequence[int]) -> Calibrator:
    """z + log(π_target / π_train): undoes a balanced training set (Saerens et al. 2002, eq. 4).

    π_target is estimated on the fold, π_train on the training images; both with one added count per class, so
    that a class without images keeps a finite logit.

    Raises:
        UserError: if the counts are not one per class.
    """
    k = fold.logits.shape[1]
    if len(train_counts) != k:
        raise UserError(f"priors of train are given for {len(train_counts)} classes but the logits have {k}")
    shift = np.log(_smoothed(np.bincount(fold.targets, minlength=k)) / _smoothed(np.asarray(train_counts)))
    return Calibrator("prior", lambda z: softmax(np.asarray(z, np.float64) + shift))


def _smoothed(counts: np.ndarray) -> np.ndarray:
    return (counts + 1) / (counts + 1).sum()


FITS: dict[str, Callable[[CalibrateFold], Calibrator]] = {
    "temperature": temperature,
    "vector": vector,
    "isotonic": isotonic,
    "ensemble_temperature": ensemble_temperature,
}
