"""The label matrices that regimes learned: heat maps whose off-diagonal structure can be seen."""

import argparse

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from calibench.errors import UserError
from calibench.figures import style
from calibench.figures.panels import Panels, add_classes, class_names
from calibench.finished.read import read_state

LABEL_LIMIT = 20
DECADES = 4  # below a ten-thousandth of the largest entry there is nothing to read
MASKED = "#BBBBBB"


def draw(
    matrices: dict[str, np.ndarray],
    labels: list[str],
    title: str,
    what: str,
    across: str,
    notes: dict[str, str],
    hatched: dict[str, np.ndarray] | None = None,
    diagonal: bool = False,
    shared: bool = False,
    log: bool = True,
) -> Figure:
    """Heat map per entry of ``matrices`` ((K, K), row = true class); colours from the smallest to the largest entry.

    Args:
        matrices: panel title → matrix; NaN = grey.
        labels: K class names; written out for K ≤ 20, else every so-many class indices.
        title: what data and model these are.
        what: what an entry is, beside the colours.
        across: what a column is.
        notes: panel title → a number that says more.
        hatched: panel title → (K,) bool, rows that are no result and are hatched instead of coloured.
        diagonal: show the diagonal too; by default it is grey, as it outshines everything else.
        shared: one scale of colours for all panels.
        log: a log scale where the entries span a factor of ten.
    """
    k, names = len(labels), [style.short(name, 18) for name in labels]
    few, longest = k <= LABEL_LIMIT, max(map(len, names))
    wide = few and longest > 10
    size = (4.5, 4.3, 2) if wide else (3.0, 3.0, 3)
    figure, axes = style.panels(len(matrices), *size, layout="compressed")
    step = max(1, round(k / 5 / 5) * 5)
    none = np.zeros(k, dtype=bool)
    rows = {head: (hatched or {}).get(head, none) for head in matrices}
    shown = {
        head: np.where((np.eye(k, dtype=bool) & (not diagonal)) | rows[head][:, None], np.nan, matrix)
        for head, matrix in matrices.items()
    }
    everything = np.stack(list(shown.values()))
    for axis, (head, matrix) in zip(axes, shown.items(), strict=True):
        norm, extend = scale(everything if shared else matrix, log)
        style.sns.heatmap(
            np.maximum(matrix, norm.vmin),
            norm=norm,
            vmin=norm.vmin,
            vmax=norm.vmax,
            cmap="viridis",
            square=True,
            mask=np.isnan(matrix),
            xticklabels=names if few else step,
            yticklabels=names if few else step,
            rasterized=True,
            cbar=False,
            ax=axis,
        )
        axis.set_facecolor(MASKED)
        if not shared or axis is axes[-1]:
            bar = figure.colorbar(axis.collections[0], ax=axes if shared else axis, label=what, extend=extend)
            if isinstance(norm, LogNorm):
                style.log_ticks(bar.ax.yaxis)
        _hatch(axis, np.flatnonzero(rows[head]), k)
        count = int(rows[head].sum())
        said = [f"{count} of {k} rows hatched"] if count else []
        style.head(axis, style.short(head, 28), ", ".join([notes[head], *said]))
        unit = "" if few else " (number)"
        axis.set(xlabel=across + unit, ylabel=f"true class{unit}")
        axis.tick_params(axis="x", rotation=90 if longest > 2 and few else 0)
        axis.tick_params(axis="y", rotation=0)
    style.headline(figure, title if diagonal else f"{title} (diagonal left out)")
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


def _hatch(axis: Axes, rows: np.ndarray, k: int) -> None:
    for row in rows:
        box = Rectangle((0, row), k, 1, facecolor="white", edgecolor=style.GREY, hatch="////", linewidth=0)
        axis.add_patch(box)


def off_diagonal(matrix: np.ndarray) -> np.ndarray:
    """The entries (K · (K - 1),) beside the diagonal."""
    return matrix[~np.eye(len(matrix), dtype=bool)]


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of this kind of figure."""
    add_classes(command)
    command.add_argument(
        "--diagonal", action="store_true", help="show the diagonal instead of leaving it out"
    )


def figure(args: argparse.Namespace) -> Figure:
    """Heat map of the matrix that each run ended with; rows of classes that gave it nothing are hatched.

    Raises:
        UserError: if a run has none, or one of another size.
    """
    panels, labels = Panels(args), class_names(args)
    matrices, hatched, notes = {}, {}, {}
    for title, folder in panels.by_title():
        state = read_state(folder)
        if "matrix" not in state:
            raise UserError(
                f"{folder}: its regime has no matrix; this figure is for regimes that learn one (ols)"
            )
        values = state["matrix"].astype(np.float64)
        if values.shape != (len(labels), len(labels)):
            raise UserError(
                f"{folder}: matrix of shape {values.shape} but {args.classes} has {len(labels)} classes"
            )
        matrices[title] = values
        if (
            "last_counts" in state
        ):  # right predictions of each class in the last epoch, where rows are made of those
            hatched[title] = state["last_counts"] == 0
        notes[title] = f"off-diagonal mass {off_diagonal(values).sum() / len(values):.3f}"
    what, across = "probability in the soft label", "class in the soft label"
    headline = panels.titled("label matrices after the last epoch")
    return draw(matrices, labels, headline, what, across, notes, hatched, args.diagonal)
