"""Threshold measures per class, averaged over classes (macro), from one confusion table."""

import numpy as np


def class_counts(predicted: np.ndarray, targets: np.ndarray, num_classes: int) -> np.ndarray:
    """(3, K) counts: of the true class, of the predicted class, and of both at once (true positives)."""
    hit = targets[predicted == targets]
    return np.stack([np.bincount(x, minlength=num_classes) for x in (targets, predicted, hit)])


def macro_scores(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Balanced accuracy, macro precision, recall and F1 from (…, 3, K) counts, each of shape (…).

    As scikit-learn has it: ``balanced_accuracy`` averages recall over the classes that occur; the other three
    over the classes that occur or are predicted, a division by zero counting as 0.

    >>> import numpy as np
    >>> counts = class_counts(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    >>> {name: round(float(value), 3) for name, value in macro_scores(counts).items()}
    {'balanced_accuracy': 0.75, 'precision': 0.75, 'recall': 0.75, 'f1': 0.667}
    """
    true, said, both = (np.asarray(counts, np.float64)[..., i, :] for i in range(3))
    recall, precision = _ratio(both, true), _ratio(both, said)
    f1 = _ratio(2 * both, true + said)
    occurs, seen = true > 0, (true + said) > 0
    return {
        "balanced_accuracy": _mean(recall, occurs),
        "precision": _mean(precision, seen),
        "recall": _mean(recall, seen),
        "f1": _mean(f1, seen),
    }


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def _mean(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    return (values * where).sum(-1) / where.sum(-1)
