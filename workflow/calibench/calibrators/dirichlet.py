"""Dirichlet calibration with off-diagonal and intercept regularisation, ODIR (Kull et al. 2019)."""

import numpy as np

from calibench.calibrators.affine import Affine, Penalty, fit
from calibench.calibrators.crossvalidation import sampled, splits
from calibench.calibrators.fold import CalibrateFold, Calibrator
from calibench.calibrators.temperature import best_temperature
from calibench.metrics.probabilities import log_softmax

# after infinity; strongest first, because each fit starts from the one before
STRENGTHS = (1e3, 1e2, 1e1, 1.0, 1e-1, 1e-2)
LEAST = np.log(np.finfo(np.float64).eps)  # of a log-probability; below it a class says nothing more
MOST = 20_000  # images to fit on
ROUGH = 1e-8  # relative change of NLL at which a fit that only chooses a strength ends


def dirichlet(fold: CalibrateFold) -> Calibrator:
    """softmax(W ln p + b) with s·(mean of the squares of W's off-diagonal + mean of b²) added to the mean NLL.

    The means are those of the paper (its code takes sums, whose weight grows with K²). The paper chooses a strength for
    each mean on a large grid; here both are one s (ours): strengths fall from infinity, which is temperature scaling, by
    tens from 1000 to 0.01 until NLL in three-fold cross-validation on the fold rises. With fewer images than weights off
    the diagonal these are held at 0, as if s were infinite for them; of more than 20,000 images some are drawn.
    ``strength`` tells what was chosen, ``nll_cv`` its NLL there.
    """
    fold = sampled(fold, MOST)
    scores = [np.inf, *STRENGTHS]
    parts = [(_scores(a.logits), a.targets, _scores(b.logits), b.targets) for a, b in splits(fold, 3)]
    starts = [_start(a.logits, a.targets) for a, _ in splits(fold, 3)]
    best, least, last = 0, np.inf, np.inf
    for i, strength in enumerate(scores if parts else []):
        total = 0.0
        for j, (x, y, new, truths) in enumerate(parts):
            starts[j] = _fit(x, y, strength, starts[j], ROUGH)
            total -= starts[j].log_probs(new)[np.arange(len(truths)), truths].sum()
        if total < least:
            best, least = i, total
        if total > last:
            break
        last = total
    found, x = _start(fold.logits, fold.targets), _scores(fold.logits)
    for strength in scores[: best + 1]:
        found = _fit(x, fold.targets, strength, found, 1e-11)
    judged = {"nll_cv": float(least / sum(len(part[3]) for part in parts))} if parts else {}
    return Calibrator(
        "dirichlet",
        lambda z: np.exp(found.log_probs(_scores(z))),
        {"strength": float(scores[best]), **judged},
    )


def _scores(logits: np.ndarray) -> np.ndarray:
    return np.maximum(log_softmax(logits), LEAST)


def _start(logits: np.ndarray, targets: np.ndarray) -> Affine:
    """Temperature scaling; only a diagonal where there are fewer images than weights off it."""
    n, k = logits.shape
    identity = np.eye(k) if k * (k - 1) <= n else np.ones(k)
    return Affine(identity / best_temperature(logits, targets), np.zeros(k))


def _fit(x: np.ndarray, targets: np.ndarray, strength: float, start: Affine, precision: float) -> Affine:
    k = x.shape[1]
    if np.isinf(strength):
        return start
    return fit(x, targets, Penalty(0.0, strength / (k * (k - 1)), strength / k), start, precision)
