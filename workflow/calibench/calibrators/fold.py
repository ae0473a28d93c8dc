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
