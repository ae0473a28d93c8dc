"""How numbers and lists are written: the filters that templates use. All words of the report are in templates/."""

import re
from collections.abc import Sequence
from typing import Any

from calibench.metrics.labels import METRICS, SIGNED
from calibench.regimes.catalog import label
from calibench.tables.cells import digits
from calibench.tables.grid import EMPTY

SHORT = {
    "top1_error": "error",
    "top5_error": "Top-5 error",
    "nll": "NLL",
    "ece": "ECE",
    "brier": "Brier score",
}
NO_BREAK = "\N{NO-BREAK SPACE}"


def missing(value: Any) -> bool:
    """None or NaN."""
    return value is None or value != value


def fixed(value: Any, places: int, signed: bool = False) -> str:
    """A number with so many decimals and a true minus; a dash where there is none."""
    if missing(value):
        return EMPTY
    text = f"{value:{'+' if signed else ''},.{places}f}"
    if not text.strip("+-0.,"):  # no sign of what rounds to zero
        text = text.lstrip("+-")
    return text.replace("-", "−")


def measured(metric: str, value: Any, n: int | None = None, signed: bool = False) -> str:
    """A value in the unit of the tables, with the decimals that n test images are worth."""
    factor = METRICS[metric][1]
    return fixed(None if missing(value) else value * factor, digits(metric, n), signed or metric in SIGNED)


def interval(metric: str, value: Any, low: Any, high: Any, n: int | None = None, signed: bool = True) -> str:
    """``−0.2 [−1.9, 1.5]`` over two lines, or the value alone where there is no interval."""
    if missing(value) or missing(low):
        return measured(metric, value, n, signed)
    ends = [measured(metric, end, n) for end in (low, high)]
    return f"{measured(metric, value, n, signed)}\n[{ends[0]},{NO_BREAK}{ends[1]}]"


def over_seeds(metric: str, values: Sequence[float], n: int | None = None) -> str:
    """``0.0123 ± 0.0010``: mean and sample standard deviation; the value alone with one seed."""
    if not len(values):
        return EMPTY
    text = measured(metric, values.mean(), n)
    return f"{text} ± {measured(metric, values.std(ddof=1), n).lstrip('+')}" if len(values) > 1 else text


def number(value: Any, places: int = 4) -> str:
    """Whole numbers with thousands separators, others with at most ``places`` decimals."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value or EMPTY
    if missing(value):
        return EMPTY
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", "−")
    if abs(value) < 10.0**-places or abs(value) >= 1e6:
        return f"{value:.2e}".replace("-", "−")
    return fixed(value, min(places, 1) if abs(value) >= 100 else places)


def percent(value: float, places: int = 0) -> str:
    """``5 %`` of a fraction."""
    return f"{fixed(100 * value, places)}{NO_BREAK}%"


def plural(count: int, one: str, many: str = "") -> str:
    """``1 class``, ``1,200 classes``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(words: Sequence[str], word: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    words = list(map(str, words))
    return f" {word} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 5 s`` or ``2 h 7 min``; a dash where it is not known."""
    if missing(seconds):
        return EMPTY
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600:,} h {seconds % 3600 // 60} min"


def run_label(name: str) -> str:
    """``hard@temperature`` → ``Hard labels, then temperature``."""
    run, *steps = name.split("@")
    return ", then ".join([label(run), *steps])


def slug(*words: str) -> str:
    """An id made of letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-") or "part"


def head(metric: str) -> str:
    """A measure as tables call it, with its unit."""
    return METRICS[metric][0]


def short(metric: str) -> str:
    """A measure as a sentence calls it."""
    return SHORT.get(metric) or METRICS[metric][0].partition(" (")[0]


def unit(metric: str) -> str:
    """The unit of a difference, with the space before it; empty for a fraction."""
    return " points" if METRICS[metric][1] == 100 else " nats" if metric == "nll" else ""


def relevant(metric: str, value: float) -> str:
    """A difference worth acting on, with its unit."""
    shown = number(round(value * METRICS[metric][1], 10), 3)
    shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    return shown + (" point" if shown + unit(metric) == "1 points" else unit(metric))
