"""Confidence of wrong and of right predictions (LS+ paper, figure 2), as shares above each confidence."""

import argparse

import pandas as pd
from matplotlib.figure import Figure

from calibench.figures import style
from calibench.figures.panels import Panels, add_predictions

add_options = add_predictions


def draw(predictions: pd.DataFrame, looks: dict[str, style.Look], title: str) -> Figure:
    """Share of the wrong, and of the right, predictions that have at least a confidence; a line per run.

    Args:
        predictions: columns ``run``, ``confidence`` and ``correct`` (bool).
        looks: how each run is drawn.
        title: what data, model, part and checkpoint these are.
    """
    figure, axes = style.panels(2, 4.4, 3.3)
    legend = {}
    for run, own in predictions.groupby("run", sort=False):
        for axis, correct in zip(axes, (False, True), strict=True):
            colour, dashes = looks[run]
            style.sns.ecdfplot(
                x=own.loc[own["correct"] == correct, "confidence"],
                complementary=True,
                stat="percent",
                color=colour,
                linestyle=(0, dashes) if dashes else "-",
                ax=axis,
            )
        wrong = int((~own["correct"]).sum())
        legend[f"{style.short(run, 28)} ({wrong:,} wrong, {len(own) - wrong:,} right)"] = looks[run]
    for axis, kind in zip(axes, ("wrong", "right"), strict=True):
        style.head(axis, f"{kind} predictions")
        axis.set(
            xlabel="confidence", ylabel=f"share of the {kind} at or above it (%)", xlim=(0, 1), ylim=(0, 102)
        )
        axis.grid(axis="y")
    style.legend(figure, [style.handle(look) for look in legend.values()], list(legend))
    style.headline(figure, title)
    return figure


def figure(args: argparse.Namespace) -> Figure:
    """Confidence of wrong and of right predictions of all runs."""
    panels = Panels(args)
    predictions, title = panels.confidences(args)
    return draw(predictions, panels.looks, title)
