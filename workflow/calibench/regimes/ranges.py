"""What a setting of a regime may be. No torch: the workflow checks settings by it before anything is trained."""

import math
from collections.abc import Mapping, Sequence

from calibench.errors import UserError


def check_range(
    name: str, value: float, low: float, high: float = math.inf, *, open_low: bool = False
) -> None:
    """Refuse a setting outside [low, high] (or (low, high] with ``open_low``).

    Raises:
        UserError: naming the setting, its value and the allowed range.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and (low < value if open_low else low <= value) and value <= high:
        return
    above = f"above {low}" if open_low else f"at least {low}"
    raise UserError(
        f"{name} is {value!r}; it must be a number {above}"
        + ("" if high == math.inf else f", at most {high}")
    )


def check_steps(name: str, value: int | None) -> None:
    """Refuse a number of steps that is neither ``None`` nor a whole number from 1.

    Raises:
        UserError: naming the setting and its value.
    """
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise UserError(f"{name} is {value!r}; it must be a whole number of at least 1, or null")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuse a setting that is none of ``choices``.

    Raises:
        UserError: naming the setting, its value and the choices.
    """
    if value not in choices:
        raise UserError(f"{name} is {value!r}; it must be one of: {', '.join(choices)}")


def check_weights(of: object) -> None:
    """Refuse weights that are no mapping of at least two regimes to numbers other than 0.

    Raises:
        UserError: showing them.
    """
    values = list(of.values()) if isinstance(of, Mapping) else []
    numbers = all(isinstance(w, int | float) and not isinstance(w, bool) and w != 0 for w in values)
    if len(values) < 2 or not numbers:
        raise UserError(
            f"mix: of is {of!r}; it must give at least two regimes a weight other than 0, as {{ols: 1, ecp: 1}}"
        )
