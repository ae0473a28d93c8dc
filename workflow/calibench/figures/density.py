"""Confidence of wrong and of right predictions (LS+ paper, figure 2), as shares above each confidence."""

import argparse

from matplotlib.figure import Figure

from calibench.figures import style
from calibench.figures.panels import Panels, add_runs

add_options = add_runs


def figure(args: argparse.Namespace) -> Figure:
    """Share of the wrong, and of the right, test predictions that have at least a confidence; a line per run."""
    panels = Panels(args)
    predictions, title = panels.confidences(args.checkpoint)
    drawn, axes = style.panels(2, 4.4, 3.3)
    legend = {}
    for run, own in predictions.groupby("run", sort=False):
        colour, dashes = panels.looks[run]
        for axis, correct in zip(axes, (False, True), strict=True):
            style.sns.ecdfplot(
                x=own.loc[own["correct"] == correct, "confidence"],
                complementary=True,
                stat="percent",
                color=colour,
                linestyle=(0, dashes),
                ax=axis,
            )
        wrong = int((~own["correct"]).sum())
        legend[f"{style.short(run, 28)} ({wrong:,} wrong, {len(own) - wrong:,} right)"] = style.handle(
            panels.looks[run]
        )
    for axis, kind in zip(axes, ("wrong", "right"), strict=True):
        style.head(axis, f"{kind} predictions")
        axis.set(
            xlabel="confidence", ylabel=f"share of the {kind} at or above it (%)", xlim=(0, 1), ylim=(0, 102)
        )
        axis.grid(axis="y")
    style.finish(drawn, legend, title)
    return drawn
