"""The label matrices that regimes learned: heat maps whose off-diagonal structure can be seen."""

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from calibench.errors import UserError
from calibench.figures import style
from calibench.figures.panels import Panels, add_classes, class_names
from calibench.finished.read import read_state

LABEL_LIMIT = 20
DECADES = 4  # below a ten-thousandth of the largest entry there is nothing to read

add_options = add_classes


class Map(NamedTuple):
    """A panel: its title, (K, K) values with row = true class, a number that says more, rows that are no result."""

    title: str
    values: np.ndarray
    note: str
    empty: Sequence[int] = ()


def draw(
    maps: list[Map],
    labels: list[str],
    title: str,
    what: str,
    across: str,
    shared: bool = False,
    log: bool = True,
) -> Figure:
    """Heat map per entry of ``maps``; colours from the smallest to the largest entry beside the diagonal.

    The diagonal is grey, as it outshines everything else, and so is NaN; rows that are no result are hatched. Names of
    classes are written out for K ≤ 20. ``what`` an entry is stands beside the colours, ``across`` is what a column is;
    ``shared``: one scale for all panels; ``log``: a log scale where entries span a factor of ten.
    """
    k, few, names = len(labels), len(labels) <= LABEL_LIMIT, [style.short(name, 18) for name in labels]
    longest = max(map(len, names))
    size = (4.5, 4.3, 2) if few and longest > 10 else (3.0, 3.0, 3)
    figure, axes = style.panels(len(maps), *size, layout="compressed")
    shown = [np.where(np.eye(k, dtype=bool), np.nan, one.values) for one in maps]
    for one, matrix in zip(maps, shown, strict=True):
        matrix[list(one.empty)] = np.nan
    for axis, one, matrix in zip(axes, maps, shown, strict=True):
        norm, extend = scale(np.stack(shown) if shared else matrix, log)
        style.sns.heatmap(
            np.maximum(matrix, norm.vmin),
            norm=norm,
            vmin=norm.vmin,
            vmax=norm.vmax,
            cmap="viridis",
            square=True,
            mask=np.isnan(matrix),
            xticklabels=names if few else max(1, round(k / 25) * 5),
            yticklabels=names if few else max(1, round(k / 25) * 5),
            rasterized=True,
            cbar=False,
            ax=axis,
        )
        axis.set_facecolor("#BBBBBB")
        for row in one.empty:
            axis.add_patch(Rectangle((0, row), k, 1, facecolor="w", edgecolor=style.GREY, hatch="////", lw=0))
        if not shared or axis is axes[-1]:
            bar = figure.colorbar(axis.collections[0], ax=axes if shared else axis, label=what, extend=extend)
            if isinstance(norm, LogNorm):
                style.log_ticks(bar.ax.yaxis)
        rows = [f"{len(one.empty)} of {k} rows not learnt"] if len(one.empty) else []
        style.head(axis, style.short(one.title, 28), one.note, *rows)
        unit = "" if few else " (number)"
        axis.set(xlabel=across + unit, ylabel=f"true class{unit}")
        axis.tick_params(axis="x", rotation=90 if longest > 2 and few else 0)
        axis.tick_params(axis="y", rotation=0)
    style.headline(figure, f"{title} (diagonal left out)")
    return figure


def scale(values: np.ndarray, log: bool) -> tuple[Normalize, str]:
    """Colours from the smallest to the largest finite value; with ``log`` on a log scale if they span a factor of ten.

    Returns:
        The scale, and which end of it stands for values beyond as well.
    """
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if high - low <= 1e-3 * high:  # all alike
        return Normalize(0, 2 * high or 1), "neither"
    if not log or low > high / 10:
        return Normalize(low, high), "neither"
    cut = high / 10**DECADES
    return LogNorm(max(low, cut), high), "min" if low < cut else "neither"


def off_diagonal(matrix: np.ndarray) -> np.ndarray:
    """The entries (K · (K - 1),) beside the diagonal."""
    return matrix[~np.eye(len(matrix), dtype=bool)]


def figure(args: argparse.Namespace) -> Figure:
    """Heat map of the matrix that each run ended with; rows of classes that gave it nothing are hatched.

    Raises:
        UserError: if a run has none, or one of another size.
    """
    panels, labels = Panels(args), class_names(args)
    maps = []
    for title, folder in panels.by_title():
        state, k = read_state(folder), len(labels)
        if "matrix" not in state:
            raise UserError(
                f"{folder}: its regime has no matrix; this figure is for regimes that learn one (ols)"
            )
        values = state["matrix"].astype(np.float64)
        if values.shape != (k, k):
            raise UserError(f"{folder}: matrix of shape {values.shape} but {args.classes} has {k} classes")
        # right predictions of each class in the last epoch, where rows are made of those
        empty = np.flatnonzero(state["last_counts"] == 0) if "last_counts" in state else ()
        maps.append(Map(title, values, f"off-diagonal mass {off_diagonal(values).sum() / k:.3f}", empty))
    title = panels.titled("label matrices after the last epoch")
    return draw(maps, labels, title, "probability in the soft label", "class in the soft label")
