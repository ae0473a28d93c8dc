"""How every figure looks and is written: sizes, one palette, one font, equal bytes from equal numbers."""

import os
import string
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")  # stages run without a screen

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from calibench.files import atomic_path

WIDTH = 9.0  # inches, of the widest figure: the report shows it at about 930 px, where 8 pt are 11 px
DPI = 200
# Okabe and Ito (2008) without yellow (too light on white) and black (not a regime: see TEMPERED), and two more
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7A5195", "#7F5A3A"]
DASHES: list[tuple[float, ...]] = [(), (4, 1.5), (1, 1), (5, 1, 1, 1)]
TEMPERED = "#000000"
GREY, BAND = "#777777", "#D4D4D4"


class Look(NamedTuple):
    """How a run is drawn."""

    colour: str
    dashes: tuple[float, ...] = ()  # lengths of ink and gap in line widths; none = a full line


matplotlib.rcParams.update(
    {
        "font.family": "DejaVu Sans",  # ships with matplotlib: the same figure on every machine
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.titlelocation": "left",
        "axes.labelsize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": "#DDDDDD",
        "grid.linewidth": 0.5,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "legend.title_fontsize": 8.5,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "figure.dpi": DPI,
        "savefig.dpi": DPI,
        "savefig.facecolor": "white",  # never transparent: the text is black on a dark page, too
        "figure.constrained_layout.use": True,
        "figure.constrained_layout.h_pad": 0.07,
        "text.parse_math": False,  # a `$` in a class name is a dollar sign
        "pdf.fonttype": 42,
        "svg.hashsalt": "calibench",
    }
)


def looks(runs: Sequence[str]) -> dict[str, Look]:
    """How each run of an experiment is drawn: a colour for its regime, dashes for its variant.

    They follow from the experiment's whole list of runs, so that a regime has one colour in all figures. With one regime, more
    regimes than colours, or more variants of one than dashes, the place of the run in the list decides alone.
    """
    regimes: dict[str, list[str]] = {}
    for run in runs:
        regimes.setdefault(run.partition("+")[0], []).append(run)
    if 1 < len(regimes) <= len(PALETTE) and max(map(len, regimes.values())) <= len(DASHES):
        places = {run: (i, j) for i, of in enumerate(regimes.values()) for j, run in enumerate(of)}
    else:
        places = {run: (i, i // len(PALETTE)) for i, run in enumerate(runs)}
    return {run: Look(PALETTE[i % len(PALETTE)], DASHES[j % len(DASHES)]) for run, (i, j) in places.items()}


def handle(look: Look, **options) -> Line2D:
    """A line for the legend."""
    return Line2D([], [], color=look.colour, linestyle=(0, look.dashes), linewidth=1.5, **options)


def dot(colour: str) -> Line2D:
    """A dot for the legend."""
    return Line2D([], [], color=colour, linestyle="none", marker="o", markersize=4.5)


def lines(axis: Axes, data: pd.DataFrame, x: str, y: str, look: dict[str, Look]) -> None:
    """A line per value of ``run``, the mean over its seeds; the band reaches from the lowest seed to the highest."""
    sns.lineplot(
        data.reset_index(drop=True),
        x=x,
        y=y,
        hue="run",
        style="run",
        palette={run: one.colour for run, one in look.items()},
        dashes={run: one.dashes for run, one in look.items()},
        errorbar=("pi", 100),
        err_kws={"alpha": 0.15, "linewidth": 0},
        legend=False,
        ax=axis,
    )
    axis.grid(axis="y")


def short(text: str, length: int = 24) -> str:
    """A name from data on one line, cut in its middle to ``length`` characters (ends tell names apart)."""
    text = " ".join(str(text).split())
    tail = (length - 1) // 2
    return text if len(text) <= length else f"{text[: length - 1 - tail]}…{text[-tail:]}"


def panels(count: int, width: float, height: float, columns: int = 3, **options) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` lettered panels of at most ``width`` × ``height`` inches, at most ``columns`` in a row."""
    rows = -(-count // columns)
    columns = -(-count // rows)
    size = (min(width * columns, WIDTH), height * rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, **options)
    found = list(grid.flat)
    for letter, axis in enumerate(found[:count] if count > 1 else ()):
        axis.set_label(f"({string.ascii_lowercase[letter % 26] * (letter // 26 + 1)}) ")
    for axis in found[count:]:
        axis.axis("off")
    figure.spare = found[count:]  # room for the legend
    return figure, found[:count]


def head(axis: Axes, *rows: str) -> None:
    """Title of a panel, behind its letter; every row is broken to the width of the panel."""
    columns = axis.get_subplotspec().get_topmost_subplotspec().get_gridspec().ncols
    room = max(16, int(13.5 * axis.figure.get_figwidth() / columns) - 4)
    broken = [line for row in rows for line in textwrap.wrap(row, room, break_on_hyphens=False)]
    axis.set_title(axis.get_label() + "\n".join(broken))


def finish(figure: Figure, entries: dict[str, Artist], title: str) -> None:
    """The legend and the title of a whole figure."""
    legend(figure, entries)
    headline(figure, title)


def entries(looks: dict[str, Look]) -> dict[str, Artist]:
    """The runs of a legend."""
    return {short(run, 32): handle(look) for run, look in looks.items()}


def headline(figure: Figure, text: str) -> None:
    """A title over the whole figure, broken to its width."""
    width = max(20, int(13 * figure.get_figwidth()))
    figure.suptitle("\n".join(textwrap.wrap(text, width)), fontsize=10)


def legend(figure: Figure, entries: dict[str, Artist], title: str | None = None) -> None:
    """A legend in the place of a panel that is not there, else below the figure in as many columns as it holds."""
    labels, handles = list(entries), list(entries.values())
    if figure.spare and len(labels) <= 16:
        figure.spare[0].legend(handles, labels, loc="center left", title=title, alignment="left")
        return
    columns = int(figure.get_figwidth() / (0.5 + 0.07 * max(map(len, labels)))) or 1
    rows = -(-len(labels) // columns)
    columns = -(-len(labels) // rows)  # even rows
    figure.set_figheight(figure.get_figheight() + 0.19 * (rows + bool(title)))  # not at the panels' cost
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, title=title)


def log_ticks(axis: Axis) -> None:
    """Decades as plain numbers on a log axis (matplotlib would write them as mathtext, which is off)."""
    axis.set_major_locator(LogLocator(numticks=6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def focus(axis: Axes, curves: dict[str, np.ndarray]) -> None:
    """Limit the y-axis to the curves that belong together, where a run that failed would flatten them; name that one.

    Far out is a last value more than three interquartile ranges beyond the quartiles (Tukey 1977), which no curve can
    be where fewer than five are drawn. The axis is cut only if the others would have less than a third of it.

    ``curves``: name → values along the x-axis, drawn already.
    """
    curves = {name: values[np.isfinite(values)] for name, values in curves.items()}
    curves = {name: values for name, values in curves.items() if len(values)}
    last = np.array([values[-1] for values in curves.values()])
    low, high = np.percentile(last, [25, 75])
    near = (last >= low - 3 * (high - low)) & (last <= high + 3 * (high - low))
    shown = np.concatenate([v for v, inside in zip(curves.values(), near, strict=True) if inside])
    if np.ptp(shown) > np.ptp(np.concatenate(list(curves.values()))) / 3:
        return
    margin = 0.05 * (shown.max() - shown.min()) or 0.05 * abs(shown.max()) or 1.0
    bottom, top = shown.min() - margin, shown.max() + margin
    outside = [name for name, end in zip(curves, last, strict=True) if not bottom <= end <= top]
    if outside:
        axis.set_ylim(bottom, top)
        names = ", ".join(name.replace(" ", "\N{NO-BREAK SPACE}") for name in outside)
        head(axis, axis.get_title("left").removeprefix(axis.get_label()), f"off the scale: {names}")


def save(figure: Figure, png: str | os.PathLike | None, pdf: str | os.PathLike | None) -> None:
    """Write PNG and PDF atomically, without dates, so that equal figures are equal files."""
    empty = {"PNG": {"Software": None}, "PDF": {"CreationDate": None, "ModDate": None, "Producer": None}}
    for path, kind in ((png, "PNG"), (pdf, "PDF")):
        if path is not None:
            with atomic_path(Path(path)) as part:
                figure.savefig(part, format=kind.lower(), metadata=empty[kind])
    plt.close(figure)
