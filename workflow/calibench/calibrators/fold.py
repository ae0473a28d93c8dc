"""What every calibrator is fitted on, and what a fitted one is.

A calibrator can only be fitted on a :class:`CalibrateFold`, and that can only be made of rows whose part is
`calibrate`: fitting on test is impossible by construction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from calibench.errors import UserError
from calibench.metrics.probabilities import Predictions


class CalibrateFold:
    """Logits (N, K) and targets (N,) of rows that are all of part `calibrate`.

    Args:
        logits: (N, K).
        targets: (N,).
        part: N names of parts.
        where: what to call the rows in an error.
        groups: (N,) group codes, which cross-validation does not cut apart; every row for itself if left out.

    Raises:
        UserError: if any row is of another part, or there is none.
    """

    def __init__(
        self,
        logits: np.ndarray,
        targets: np.ndarray,
        part: Sequence[str],
        where: str = "",
        groups: np.ndarray | None = None,
    ) -> None:
        others = set(part) - {"calibrate"}
        if others:
            raise UserError(
                f"{where}: calibrators are fitted on part calibrate only, not on {sorted(others)[0]}"
            )
        seen = Predictions.of(logits, targets, where)
        self.logits, self.targets, self.where = seen.scores.astype(np.float64), seen.targets, where
        self.groups = np.arange(len(targets)) if groups is None else np.asarray(groups)

    def rows(self, keep: np.ndarray) -> "CalibrateFold":
        """Some of the rows, by mask or index."""
        kept = self.targets[keep]
        return CalibrateFold(
            self.logits[keep], kept, ["calibrate"] * len(kept), self.where, self.groups[keep]
        )


@dataclass(frozen=True)
class Calibrator:
    """A fitted calibrator: ``apply`` maps logits (N, K) to probabilities (N, K); ``parameters`` are for the
    table; ``doubt`` gives the change of each top probability (N,) at one standard error of the fit, where it is known.
    """

    name: str
    apply: Callable[[np.ndarray], np.ndarray]
    parameters: dict[str, float] = field(default_factory=dict)
    doubt: Callable[[np.ndarray], np.ndarray] | None = None
