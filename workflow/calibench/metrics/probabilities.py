"""From stored logits to checked float64 probabilities: the one place where logits are read as numbers.

Logits are stored as float32 (predictions made without autocast). The softmax is taken in float64, so that no
measure depends on the rounding of a float32 exponential (a confidence that rounds to 1.0 changes bins).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from calibench.errors import UserError


def check(logits: np.ndarray, targets: np.ndarray, where: str = "logits") -> tuple[np.ndarray, np.ndarray]:
    """Refuse what no measure can be taken of; return logits (N, K) and int64 targets (N,).

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
    return logits, targets.astype(np.int64)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities (N, K) in float64; the maximum is subtracted first, so nothing overflows."""
    out = np.empty(np.shape(logits))
    for rows in blocks(len(out)):  # a block stays in the cache; whole-array passes would go through memory
        shifted = np.asarray(logits[rows], np.float64)
        shifted = shifted - shifted.max(axis=1, keepdims=True)
        np.subtract(shifted, np.log(np.exp(shifted).sum(axis=1, keepdims=True)), out=out[rows])
    return out


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (N, K) in float64."""
    return np.exp(log_softmax(logits))


def blocks(n: int, size: int = 2048) -> list[slice]:
    """Slices of N rows, so many at a time that they stay in the cache."""
    return [slice(start, start + size) for start in range(0, n, size)]


def mean(values: np.ndarray) -> float:
    """The mean; NaN of no values."""
    return float(values.mean()) if values.size else float("nan")


def check_probs(probs: np.ndarray, targets: np.ndarray, where: str = "probabilities") -> None:
    """Refuse probabilities (N, K) that are negative or whose rows do not sum to 1 (to 1e-6).

    Raises:
        UserError: naming the first bad row; also everything :func:`check` refuses.
    """
    check(probs, targets, where)
    bad = (np.asarray(probs) < 0).any(axis=1) | (np.abs(np.asarray(probs).sum(axis=1) - 1) > 1e-6)
    if bad.any():
        raise UserError(f"{where}: row {int(np.flatnonzero(bad)[0])} is not a probability vector")


@dataclass(frozen=True)
class Predictions:
    """Checked scores (N, K) and targets (N,) with everything that several measures need, computed once.

    ``scores`` are logits, or probabilities where a calibrator gives those (:meth:`of_probs`). Equal scores:
    the class with the lowest index wins, in ``predicted`` as in every top-k measure.
    """

    scores: np.ndarray
    targets: np.ndarray
    are_probs: bool = False

    @classmethod
    def of(cls, logits: np.ndarray, targets: np.ndarray, where: str = "logits") -> "Predictions":
        """Check and wrap logits; see :func:`check` for what is refused."""
        return cls(*check(logits, targets, where))

    @classmethod
    def of_probs(cls, probs: np.ndarray, targets: np.ndarray, where: str = "probabilities") -> "Predictions":
        """Check and wrap probabilities; see :func:`check_probs`."""
        check_probs(probs, targets, where)
        return cls(np.asarray(probs, np.float64), np.asarray(targets, np.int64), are_probs=True)

    @cached_property
    def log_probs(self) -> np.ndarray:
        """(N, K) float64; of a probability of 0 it is that of the smallest normal number (-708)."""
        if self.are_probs:
            return np.log(np.maximum(self.scores, np.finfo(np.float64).tiny))
        return log_softmax(self.scores)

    @cached_property
    def probs(self) -> np.ndarray:
        """(N, K) float64."""
        return self.scores if self.are_probs else np.exp(self.log_probs)

    @cached_property
    def predicted(self) -> np.ndarray:
        """(N,) class of the largest score."""
        return self.scores.argmax(axis=1)

    @cached_property
    def confidence(self) -> np.ndarray:
        """(N,) probability of the predicted class, at most 1."""
        return np.minimum(self.probs.max(axis=1), 1.0)

    @cached_property
    def correct(self) -> np.ndarray:
        """(N,) bool."""
        return self.predicted == self.targets
