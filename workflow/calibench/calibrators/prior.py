"""Prior correction: undoes a training set whose class frequencies are not those of the test set."""

from collections.abc import Sequence

import numpy as np

from calibench.calibrators.fold import CalibrateFold, Calibrator
from calibench.errors import UserError
from calibench.metrics.probabilities import softmax


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
