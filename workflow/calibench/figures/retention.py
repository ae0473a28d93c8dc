"""Retention curves (LS+ paper, figure 1), each above the line of its own run kept at random."""

import argparse

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from calibench.figures import style
from calibench.figures.panels import Panels, add_predictions
from calibench.metrics.selective import retention, retention_curve

POINTS = 200

add_options = add_predictions


def excess(confidence: np.ndarray, correct: np.ndarray) -> pd.DataFrame:
    """How far the retention curve lies above keeping at random, at :data:`POINTS` shares.

    Returns:
        Columns ``kept`` (%), ``excess`` (points of accuracy) and ``relative`` (% of e(1 - e), the highest that a
        perfect order of the errors reaches; NaN without errors or without right predictions).
    """
    curve = retention_curve(confidence, correct)
    kept = np.linspace(0, 1, POINTS + 1)
    error = 1 - curve[-1]
    above = np.interp(kept, np.linspace(0, 1, len(curve)), curve) - (1 - error * kept)
    most = error * (1 - error)
    relative = 100 * above / most if most > 0 else np.full(len(above), np.nan)
    return pd.DataFrame({"kept": 100 * kept, "excess": 100 * above, "relative": relative})


def draw(predictions: pd.DataFrame, looks: dict[str, style.Look], title: str) -> Figure:
    """Accuracy above random against the share of predictions kept (most confident first, the rest replaced by truth).

    Twice: in points, and relative to a perfect order, where the area decides alone how well errors are ranked.

    Args:
        predictions: columns ``run``, ``seed``, ``confidence`` and ``correct``.
        looks: how each run is drawn.
        title: what data, model, part and checkpoint these are.
    """
    figure, axes = style.panels(2, 4.4, 3.3)
    curves, legend = [], {}
    for run, of_run in predictions.groupby("run", sort=False):
        columns = [
            (one["confidence"].to_numpy(), one["correct"].to_numpy()) for _, one in of_run.groupby("seed")
        ]
        curves += [excess(*one).assign(run=run) for one in columns]
        area = np.mean([retention(*one)["r_auc_normalised"] for one in columns])
        error = 100 * np.mean([1 - correct.mean() for _, correct in columns])
        legend[f"{style.short(run, 28)}: error {error:.1f} %, normalised R-AUC {area:.3f}"] = looks[run]
    data = pd.concat(curves)
    said = {
        "excess": ("accuracy above keeping at random", "points"),
        "relative": ("the same, relative to a perfect order", "% of the highest possible"),
    }
    for axis, (column, (head, label)) in zip(axes, said.items(), strict=True):
        style.lines(axis, data, "kept", column, looks)
        axis.axhline(0, color=style.GREY, linewidth=0.8, linestyle="--")
        axis.set(xlabel="predictions kept, most confident first (%)", ylabel=label, xlim=(0, 100))
        style.head(axis, head)
        style.focus(
            axis, {run: own.groupby("kept")[column].mean().to_numpy() for run, own in data.groupby("run")}
        )
    style.legend(figure, [style.handle(look) for look in legend.values()], list(legend))
    style.headline(figure, title)
    return figure


def figure(args: argparse.Namespace) -> Figure:
    """Retention curves of all runs."""
    panels = Panels(args)
    predictions, title = panels.confidences(args)
    return draw(predictions, panels.looks, title)
