"""How every figure looks and is written: one palette, one font, equal bytes from equal numbers."""

import os
import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # stages run without a screen

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from calibench.files import atomic_path

# Okabe and Ito (2008): told apart with every common colour blindness; yellow is left out (too light on white)
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#7A5195"]
MARKERS = ["o", "^", "s", "D"]
DASHES = ["-", "--", ":", "-."]
REST = "#C8C8C8"
RIGHT, WRONG = "#0072B2", "#D55E00"
DPI = 200

matplotlib.rcParams.update(
    {
        "font.family": "DejaVu Sans",  # ships with matplotlib: the same figure on every machine
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.labelsize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": matplotlib.cycler(color=PALETTE),
        "legend.frameon": False,
        "legend.fontsize": 8,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "figure.dpi": DPI,
        "savefig.dpi": DPI,
        "figure.constrained_layout.use": True,
        "text.parse_math": False,  # a `$` in a class name is a dollar sign
        "pdf.fonttype": 42,
        "svg.hashsalt": "calibench",
    }
)


def look(i: int) -> tuple[str, str]:
    """Colour and marker of the i-th class or regime; 32 pairs before one repeats."""
    return PALETTE[i % len(PALETTE)], MARKERS[i // len(PALETTE) % len(MARKERS)]


def short(text: str, length: int = 24) -> str:
    """A name from data on one line, cut in its middle to ``length`` characters (ends tell names apart)."""
    text = " ".join(str(text).split())
    tail = (length - 1) // 2
    return text if len(text) <= length else f"{text[: length - 1 - tail]}…{text[-tail:]}"


def headline(figure: Figure, text: str) -> None:
    """A title over the whole figure, broken to its width (about 14 characters an inch at 10 pt)."""
    width = max(20, int(13 * figure.get_figwidth()))
    figure.suptitle("\n".join(textwrap.wrap(text, width)), fontsize=10)


def legend_below(figure: Figure, handles: list, labels: list[str], title: str | None = None) -> None:
    """A legend below the figure with as many columns as its width holds."""
    longest = max(len(text) for text in labels)
    columns = int(figure.get_figwidth() / (0.45 + 0.075 * longest))
    columns = max(1, min(len(labels), columns))
    rows = -(-len(labels) // columns)
    columns = -(-len(labels) // rows)  # even rows
    figure.set_figheight(figure.get_figheight() + 0.18 * (rows + bool(title)))  # not at the panels' cost
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, title=title, title_fontsize=8)


def log_ticks(axis: Axis) -> None:
    """Decades as plain numbers on a log axis (matplotlib would write them as mathtext, which is off)."""
    axis.set_major_locator(LogLocator(numticks=6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def focus(axis: plt.Axes, curves: dict[str, np.ndarray]) -> None:
    """Limit the y-axis to the curves that belong together, and name above it those that end outside.

    A run that failed would flatten all others. Far out is a last value more than three interquartile ranges
    beyond the quartiles (Tukey 1977), which no curve can be where fewer than five are drawn.

    Args:
        axis: where the curves are drawn already.
        curves: name → values along the x-axis, each of at least one finite number.
    """
    curves = {name: values[np.isfinite(values)] for name, values in curves.items()}
    last = np.array([values[-1] for values in curves.values()])
    low, high = np.percentile(last, [25, 75])
    near = (last >= low - 3 * (high - low)) & (last <= high + 3 * (high - low))
    if near.all():
        return
    shown = np.concatenate([v for v, inside in zip(curves.values(), near, strict=True) if inside])
    margin = 0.05 * (shown.max() - shown.min()) or 0.05 * abs(shown.max()) or 1.0
    bottom, top = shown.min() - margin, shown.max() + margin
    outside = [name for name, end in zip(curves, last, strict=True) if not bottom <= end <= top]
    if outside:
        axis.set_ylim(bottom, top)
        width = int(20 * axis.get_position().width * axis.figure.get_figwidth())
        names = ", ".join(name.replace(" ", "\N{NO-BREAK SPACE}") for name in outside)
        text = textwrap.wrap(f"off the scale: {names}", max(20, width), break_on_hyphens=False)
        axis.set_title("\n".join(text), fontsize=7, color="#555555")


def panels(
    count: int, width: float, height: float, columns: int = 4, layout: str = "constrained"
) -> tuple[Figure, list[plt.Axes]]:
    """A figure with ``count`` panels of ``width`` × ``height`` inches, at most ``columns`` side by side."""
    columns = min(count, columns)
    rows = -(-count // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(width * columns, height * rows), squeeze=False, layout=layout
    )
    flat = list(axes.flat)
    for spare in flat[count:]:
        spare.remove()
    return figure, flat[:count]


def save(figure: Figure, png: str | os.PathLike | None, pdf: str | os.PathLike | None) -> None:
    """Write PNG and PDF atomically, without dates, so that equal figures are equal files."""
    empty = {"PNG": {"Software": None}, "PDF": {"CreationDate": None, "ModDate": None, "Producer": None}}
    for path, kind in ((png, "PNG"), (pdf, "PDF")):
        if path is not None:
            with atomic_path(Path(path)) as part:
                figure.savefig(part, format=kind.lower(), metadata=empty[kind])
    plt.close(figure)
