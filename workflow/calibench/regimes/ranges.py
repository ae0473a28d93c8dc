"""Checks of the settings of a regime. No torch: the workflow also checks settings before any training."""

import math
from collections.abc import Mapping, Sequence

from calibench.errors import UserError


def check_range(
    name: str, value: float, low: float, high: float = math.inf, *, open_low: bool = False
) -> None:
    """Raise UserError for a setting outside [low, high] (or (low, high] with ``open_low``)."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and (low < value if open_low else low <= value) and value <= high:
        return
    above = f"above {low}" if open_low else f"at least {low}"
    raise UserError(
        f"{name} is {value!r}; it must be a number {above}"
        + ("" if high == math.inf else f", at most {high}")
    )


def check_steps(name: str, value: int | None) -> None:
    """Raise UserError for a number of steps that is neither ``None`` nor a whole number from 1."""
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise UserError(f"{name} is {value!r}; it must be a whole number of at least 1, or null")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise UserError for a setting that is none of ``choices``."""
    if value not in choices:
        raise UserError(f"{name} is {value!r}; it must be one of: {', '.join(choices)}")


def check_weights(of: object) -> None:
    """Raise UserError unless ``of`` maps at least two regimes to numbers other than 0."""
    values = list(of.values()) if isinstance(of, Mapping) else []
    numbers = all(isinstance(w, int | float) and not isinstance(w, bool) and w != 0 for w in values)
    if len(values) < 2 or not numbers:
        raise UserError(
            f"mix: of is {of!r}; it must give at least two regimes a weight other than 0, as {{ols: 1, ecp: 1}}"
        )
