"""Is confidence a good reason to accept a prediction? Retention and risk-coverage curves.

Samples of equal confidence cannot be put in order: within such a block errors are spread evenly, so no
measure depends on the order of the rows.
"""

import numpy as np


def errors_kept(confidence: np.ndarray, correct: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expected errors (N+1,) among the 0..N most confident samples, and where blocks of ties end."""
    order = np.argsort(-confidence, kind="stable")
    values, wrong = confidence[order], ~correct[order]
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True)) + 1
    cumulated = np.concatenate([[0], np.cumsum(wrong)])
    knots = np.concatenate([[0], ends])
    return np.interp(np.arange(len(values) + 1), knots, cumulated[knots]), ends


def retention_curve(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Accuracy (N+1,) when the 0..N most confident predictions are kept, the rest replaced by truth."""
    return 1 - errors_kept(confidence, correct)[0] / len(confidence)


def augrc(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Area under the generalised risk curve: errors among the kept, over N, against coverage (Traub et al. 2024).

    The mean over all thresholds of the chance of a wrong prediction that is trusted. The curve is joined by straight
    lines after each distinct confidence and starts at (0, 0), so with accuracy a the area is
    (1 - AUROC of confidence for correctness)·a·(1 - a) + (1 - a)²/2, and 1 minus the area of :func:`retention`.
    """
    kept = errors_kept(confidence, correct)[0]
    return float((kept[:-1] + kept[1:]).sum() / 2 / len(confidence) ** 2)


def retention(confidence: np.ndarray, correct: np.ndarray) -> dict[str, float]:
    """``r_auc``: area under the retention curve over linear fractions (LS+, fig. 1, by confidence), and
    ``r_auc_normalised``: (R-AUC - random) / (oracle - random), random = 1 - e/2, oracle = 1 - e²/2 for error
    e.

    1 = all errors have the lowest confidences, 0 = confidence tells nothing; NaN without errors or only
    errors.

    >>> import numpy as np
    >>> scores = retention(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, True, False]))
    >>> scores["r_auc_normalised"]
    1.0
    """
    area = 1 - augrc(confidence, correct)
    e = float((~correct).mean())
    spread = e / 2 - e**2 / 2
    return {"r_auc": area, "r_auc_normalised": (area - 1 + e / 2) / spread if spread > 0 else float("nan")}


def aurc(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Area under the risk-coverage curve: mean over j = 1..N of the error among the j most confident (Geifman
    2019).

    >>> import numpy as np
    >>> aurc(np.array([0.9, 0.8]), np.array([True, False]))
    0.25
    """
    kept = errors_kept(confidence, correct)[0][1:]
    return float((kept / np.arange(1, len(kept) + 1)).mean())


def coverage_at(confidence: np.ndarray, correct: np.ndarray, error: float = 0.05) -> float:
    """Largest fraction of samples above a confidence threshold with error at most ``error`` (0 if none).

    >>> import numpy as np
    >>> coverage_at(np.array([0.9, 0.8, 0.7]), np.array([True, True, False]))
    0.6666666666666666
    """
    kept, ends = errors_kept(confidence, correct)
    allowed = ends[kept[ends] <= error * ends + 1e-12]
    return float(allowed.max() / len(confidence)) if allowed.size else 0.0
