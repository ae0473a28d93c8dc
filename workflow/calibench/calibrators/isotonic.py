"""Isotonic regression: a monotone map of each class's probability."""

import numpy as np

from calibench.calibrators.fold import CalibrateFold, Calibrator
from calibench.metrics.probabilities import softmax


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
