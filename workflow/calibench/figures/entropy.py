"""How a learned matrix changes over the epochs: its entropy, and how many predictions entered it."""

import argparse
import math

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from calibench.errors import UserError
from calibench.figures import style
from calibench.figures.panels import Panels, add_classes, class_names

PANELS = {
    "matrix_entropy": "mean entropy of a row (nats)",
    "correct_updates": "right predictions that entered the matrix",
    "fallback_classes": "classes without a right prediction",
}


def draw(history: pd.DataFrame, classes: int, title: str) -> Figure:
    """A panel for the entropy and for each other column of :data:`PANELS` that is ever above zero; a line per run and seed.

    Args:
        history: columns ``run``, ``seed``, ``epoch`` and those of :data:`PANELS` that exist.
        classes: K; the dashed line is the uniform row, ln K (the diagonal of LS++'s matrix is empty: ln(K-1)).
        title: what data and model these are.
    """
    shown = [c for c in PANELS if c == "matrix_entropy" or (c in history and (history[c] > 0).any())]
    figure, axes = style.panels(len(shown), 3.6, 2.9, columns=3)
    runs = list(dict.fromkeys(history["run"]))
    for axis, column in zip(axes, shown, strict=True):
        for i, run in enumerate(runs):
            for j, (_, one) in enumerate(history[history["run"] == run].groupby("seed")):
                colour, marker = style.look(i)
                name = style.short(run, 32) if j == 0 else None
                axis.plot(
                    one["epoch"], one[column], color=colour, marker=marker, markersize=3, lw=1.2, label=name
                )
        axis.set(xlabel="epoch", ylabel=PANELS[column])
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(axis="y", color="#DDDDDD", linewidth=0.5)
        if column == "matrix_entropy":
            axis.axhline(
                math.log(classes), color="#666666", linestyle="--", linewidth=0.9, label="uniform (ln K)"
            )
        axis.set_ylim(bottom=0)
    style.legend_below(figure, *axes[0].get_legend_handles_labels())
    style.headline(figure, title)
    return figure


add_options = add_classes


def figure(args: argparse.Namespace) -> Figure:
    """Entropy of the learned matrices over the epochs.

    Raises:
        UserError: if no run has a matrix whose entropy was recorded.
    """
    panels = Panels(args.records)
    history = panels.history()
    if "matrix_entropy" in history:
        history = history.dropna(subset=["matrix_entropy"])
    if "matrix_entropy" not in history or history.empty:
        raise UserError(
            f"{args.records[0]}: no matrix_entropy in its history; this figure is for regimes that learn a matrix"
        )
    return draw(history, len(class_names(args)), panels.titled("learned matrices over the epochs"))
