"""Confidence of right and of wrong predictions (LS+ paper, figure 2)."""

import argparse

import numpy as np
from matplotlib.figure import Figure

from calibench.figures import style
from calibench.figures.panels import add_predictions, confidences

Run = tuple[np.ndarray, np.ndarray]  # confidence (N,), correct (N,) bool

add_options = add_predictions


def draw(runs: dict[str, Run], title: str) -> Figure:
    """Histograms of confidence, each of area 1, of right and of wrong predictions; one panel per run."""
    figure, axes = style.panels(len(runs), 2.7, 2.5)
    edges = np.linspace(0, 1, 31)
    highest = 0.0
    for axis, (head, (confidence, correct)) in zip(axes, runs.items(), strict=True):
        for mask, colour, name in ((correct, style.RIGHT, "right"), (~correct, style.WRONG, "wrong")):
            if not mask.any():
                continue
            height, _ = np.histogram(confidence[mask], edges, density=True)
            highest = max(highest, float(height.max()))
            axis.stairs(height, edges, fill=True, color=colour, alpha=0.35)
            axis.stairs(height, edges, color=colour, linewidth=1.1, label=f"{name} predictions")
            mean = float(confidence[mask].mean())
            axis.axvline(mean, color=colour, linewidth=1, linestyle="--")
        axis.set_title(
            f"{style.short(head, 30)}\n{correct.sum():,} right, {(~correct).sum():,} wrong", fontsize=9
        )
        axis.set(xlabel="confidence", ylabel="density", xlim=(0, 1))
    for axis in axes:
        axis.set_ylim(0, highest * 1.05 or 1)
    entries = [axis.get_legend_handles_labels() for axis in axes]
    style.legend_below(figure, *max(entries, key=lambda entry: len(entry[1])))  # a panel may have none wrong
    style.headline(figure, f"{title} (dashed: mean confidence)")
    return figure


def figure(args: argparse.Namespace) -> Figure:
    """Confidence of right and of wrong predictions, one panel per run."""
    return draw(*confidences(args))
