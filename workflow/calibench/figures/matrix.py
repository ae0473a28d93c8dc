"""The soft labels that OLS ended with: a heat map whose off-diagonal structure can be seen."""

import argparse

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from calibench.errors import UserError
from calibench.figures import style
from calibench.figures.panels import Panels, add_classes, class_names
from calibench.finished.read import read_state

LABEL_LIMIT = 20
DECADES = 4  # below a ten-thousandth of the largest off-diagonal entry there is nothing to read


def draw(
    matrices: dict[str, np.ndarray],
    labels: list[str],
    title: str,
    diagonal: bool = False,
    what: str = "soft label",
) -> Figure:
    """Heat map per entry of ``matrices`` ((K, K), row = true class), colours on a log scale.

    Args:
        matrices: panel title → matrix.
        labels: K class names; written out for K ≤ 20, else every so-many class indices.
        title: what data and model these are.
        diagonal: show the diagonal too; by default it is masked (grey), as it outshines everything else.
        what: what a row is, for the axes.
    """
    k = len(labels)
    off = ~np.eye(k, dtype=bool)
    values = np.concatenate([m[off | diagonal] for m in matrices.values()])
    values = values[np.isfinite(values)]  # a class without images has no row
    top = float(values.max()) if values.max() > 0 else 1.0
    positive = values[values > 0]
    low = max(float(positive.min()) if positive.size else top / 10, top / 10**DECADES)
    norm = LogNorm(vmin=min(low, top / 10), vmax=top)
    figure, axes = maps(len(matrices), labels)
    image = None
    for axis, (head, matrix) in zip(axes, matrices.items(), strict=True):
        shown = np.ma.array(np.maximum(matrix, norm.vmin), mask=~(off | diagonal) | np.isnan(matrix))
        colours = style.plt.get_cmap("viridis").with_extremes(bad="#BBBBBB")
        image = axis.imshow(shown, norm=norm, cmap=colours, interpolation="nearest", rasterized=True)
        mass = float(np.nanmean((matrix * off).sum(axis=1)))
        axis.set_title(f"{style.short(head, 28)}\noff-diagonal mass {mass:.4f}", fontsize=9)
        ticks(axis, labels, f"class in the {what}", "true class")
        for spine in axis.spines.values():
            spine.set_visible(False)
    bar = figure.colorbar(image, ax=axes, extend="min")
    style.log_ticks(bar.ax.yaxis)
    bar.set_label(f"probability in the {what}")
    style.headline(figure, title if diagonal else f"{title} (diagonal masked)")
    return figure


def maps(count: int, labels: list[str]) -> tuple[Figure, list]:
    """Panels for (K, K) maps that have room for the names of the classes."""
    k = len(labels)
    side = min(max(3.2, 0.24 * k), 5.2) if k <= LABEL_LIMIT else 4.4
    names = 0.07 * min(max(map(len, labels)), 18) if k <= LABEL_LIMIT else 0.3
    return style.panels(count, side + 0.6 + names, side + 0.9 + names, columns=3, layout="compressed")


def ticks(axis, labels: list[str], across: str, down: str) -> None:
    """Class names on both axes of a (K, K) map, or indices where they are too many; and what the axes are."""
    k = len(labels)
    if k <= LABEL_LIMIT:
        names = [style.short(name, 18) for name in labels]
        axis.set_xticks(range(k), names, rotation=90)
        axis.set_yticks(range(k), names)
        axis.set(xlabel=across, ylabel=down)
    else:
        step = max(1, round(k / 8 / 5) * 5)
        axis.set_xticks(range(0, k, step))
        axis.set_yticks(range(0, k, step))
        axis.set(xlabel=f"{across} (index)", ylabel=f"{down} (index)")


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of this kind of figure."""
    add_classes(command)
    command.add_argument("--diagonal", action="store_true", help="show the diagonal instead of masking it")


def figure(args: argparse.Namespace) -> Figure:
    """Heat map of the matrix that each run ended with.

    Raises:
        UserError: if a run has none, or one of another size.
    """
    panels, labels = Panels(args.records), class_names(args)
    matrices = {}
    for title, folder in panels.by_title():
        values = read_state(folder).get("matrix")
        if values is None:
            raise UserError(
                f"{folder}: its regime has no matrix; this figure is for regimes that learn one (ols)"
            )
        if values.shape != (len(labels), len(labels)):
            raise UserError(
                f"{folder}: matrix of shape {values.shape} but {args.classes} has {len(labels)} classes"
            )
        matrices[title] = values.astype(np.float64)
    return draw(matrices, labels, panels.titled("soft labels of the last epoch"), args.diagonal)
