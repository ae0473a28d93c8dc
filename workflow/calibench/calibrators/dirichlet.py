"""Dirichlet calibration with off-diagonal and intercept regularisation, ODIR (Kull et al. 2019)."""

import numpy as np

from calibench.calibrators.affine import Affine, Penalty, fit
from calibench.calibrators.crossvalidation import splits
from calibench.calibrators.fold import CalibrateFold, Calibrator
from calibench.metrics.probabilities import log_softmax

STRENGTHS = (1e3, 1e2, 1e1, 1.0, 1e-1, 1e-2)  # strongest first: each fit starts from the one before
LEAST = np.log(np.finfo(np.float64).eps)  # of a log-probability; below it a class says nothing more


def dirichlet(fold: CalibrateFold) -> Calibrator:
    """softmax(W ln p + b) with s·(mean of the squares of W's off-diagonal + mean of b²) added to the mean NLL.

    The means are those of the paper (its code takes sums, whose weight grows with K²). The paper chooses two strengths
    on a large grid; here both are one s (ours), the one of 1000 … 0.01 with the lowest NLL in three-fold cross-validation
    on the fold, and 1000 where the fold is too small to cut. ``strength`` tells which.
    """
    x = _scores(fold.logits)
    totals = np.zeros(len(STRENGTHS))
    for fitted, judged in splits(fold, 3):
        for i, found in enumerate(_path(_scores(fitted.logits), fitted.targets, len(STRENGTHS))):
            log_p = found.log_probs(_scores(judged.logits))
            totals[i] -= log_p[np.arange(len(judged.targets)), judged.targets].sum()
    best = int(totals.argmin())
    found = _path(x, fold.targets, best + 1)[-1]
    return Calibrator(
        "dirichlet", lambda z: np.exp(found.log_probs(_scores(z))), {"strength": STRENGTHS[best]}
    )


def _scores(logits: np.ndarray) -> np.ndarray:
    return np.maximum(log_softmax(logits), LEAST)


def _path(x: np.ndarray, targets: np.ndarray, length: int) -> list[Affine]:
    """The maps of the first ``length`` strengths."""
    k = x.shape[1]
    found = [Affine(np.eye(k), np.zeros(k))]
    for s in STRENGTHS[:length]:
        found.append(fit(x, targets, Penalty(0.0, s / (k * (k - 1)), s / k), found[-1]))
    return found[1:]
