"""From stored logits to checked float64 probabilities: the one place where logits are read as numbers.

Logits are stored as float32 (predictions made without autocast). The softmax is taken in float64, so that no
measure depends on the rounding of a float32 exponential (a confidence that rounds to 1.0 changes bins).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from calibench.errors import UserError


def check(logits: np.ndarray, targets: np.ndarray, where: str = "logits") -> tuple[np.ndarray, np.ndarray]:
    """Refuse what no measure can be taken of; return float64 logits (N, K) and int64 targets (N,).

    Args:
        logits: (N, K) floating point, N ≥ 1, K ≥ 2, finite.
        targets: (N,) integers in 0..K-1.
        where: what to call the array in an error (usually its file).

    Raises:
        UserError: wrong shape or type, no rows, one class only, NaN or infinity, a target outside 0..K-1.
    """
    logits, targets = np.asarray(logits), np.asarray(targets)
    if logits.ndim != 2 or not np.issubdtype(logits.dtype, np.floating):
        raise UserError(f"{where}: expected float logits of shape (N, K), got {logits.dtype} {logits.shape}")
    n, k = logits.shape
    if targets.shape != (n,):
        raise UserError(f"{where}: {n} rows of logits but targets of shape {targets.shape}; predict again")
    if n == 0:
        raise UserError(f"{where}: no rows; the split is empty")
    if k < 2:
        raise UserError(f"{where}: one class only; a classifier needs at least 2")
    if not np.issubdtype(targets.dtype, np.integer):
        raise UserError(f"{where}: targets must be integers, got {targets.dtype}")
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        rows = np.flatnonzero(~finite)
        raise UserError(
            f"{where}: {rows.size} of {n} rows hold NaN or infinity (first: row {rows[0]}); "
            "the training diverged, lower its learning rate and run again"
        )
    outside = (targets < 0) | (targets >= k)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise UserError(
            f"{where}: row {row} has target {targets[row]} but the logits have {k} classes (0..{k - 1})"
        )
    return logits.astype(np.float64), targets.astype(np.int64)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities (N, K) in float64; the maximum is subtracted first, so nothing overflows."""
    shifted = np.asarray(logits, np.float64)
    shifted = shifted - shifted.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (N, K) in float64."""
    shifted = np.asarray(logits, np.float64)
    powers = np.exp(shifted - shifted.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Predictions:
    """Checked logits (N, K) and targets (N,) with everything that several measures need, computed once.

    Equal logits: the class with the lowest index wins, in ``predicted`` as in every top-k measure.
    """

    logits: np.ndarray
    targets: np.ndarray

    @classmethod
    def of(cls, logits: np.ndarray, targets: np.ndarray, where: str = "logits") -> "Predictions":
        """Check and wrap; see :func:`check` for what is refused."""
        return cls(*check(logits, targets, where))

    @cached_property
    def log_probs(self) -> np.ndarray:
        """(N, K) float64."""
        return log_softmax(self.logits)

    @cached_property
    def probs(self) -> np.ndarray:
        """(N, K) float64."""
        return np.exp(self.log_probs)

    @cached_property
    def predicted(self) -> np.ndarray:
        """(N,) class of the largest logit."""
        return self.logits.argmax(axis=1)

    @cached_property
    def confidence(self) -> np.ndarray:
        """(N,) probability of the predicted class, at most 1."""
        return np.minimum(self.probs.max(axis=1), 1.0)

    @cached_property
    def correct(self) -> np.ndarray:
        """(N,) bool."""
        return self.predicted == self.targets
