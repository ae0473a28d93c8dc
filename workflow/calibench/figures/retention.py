"""Retention curves (LS+ paper, figure 1), each above the line of its own run kept at random."""

import argparse

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from calibench.figures import style
from calibench.figures.panels import Panels, add_runs
from calibench.metrics.selective import retention, retention_curve

POINTS = 200

add_options = add_runs


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


def figure(args: argparse.Namespace) -> Figure:
    """Accuracy above random against the share of predictions kept (most confident first, the rest replaced by truth).

    Twice: in points, and relative to a perfect order, where the area alone says how well errors are ranked.
    """
    panels = Panels(args)
    predictions, title = panels.confidences(args.checkpoint)
    curves, legend = [], {}
    for run, of_run in predictions.groupby("run", sort=False):
        seeds = [
            (one["confidence"].to_numpy(), one["correct"].to_numpy()) for _, one in of_run.groupby("seed")
        ]
        curves += [excess(*one).assign(run=run) for one in seeds]
        area = np.mean([retention(*one)["r_auc_normalised"] for one in seeds])
        name = f"{style.short(run, 28)}: error {100 - 100 * of_run['correct'].mean():.1f} %, normalised R-AUC {area:.3f}"
        legend[name] = style.handle(panels.looks[run])
    data = pd.concat(curves)
    drawn, axes = style.panels(2, 4.4, 3.3)
    said = {
        "excess": ("accuracy above keeping at random", "points"),
        "relative": ("the same, relative to a perfect order", "% of the highest possible"),
    }
    for axis, (column, (head, unit)) in zip(axes, said.items(), strict=True):
        style.lines(axis, data, "kept", column, panels.looks)
        axis.axhline(0, color=style.GREY, linewidth=0.8, linestyle="--")
        axis.set(xlabel="predictions kept, most confident first (%)", ylabel=unit, xlim=(0, 100))
        style.head(axis, head)
        style.focus(
            axis, {run: own.groupby("kept")[column].mean().to_numpy() for run, own in data.groupby("run")}
        )
    style.finish(drawn, legend, title)
    return drawn
