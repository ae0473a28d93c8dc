"""Retention curves with R-AUC (LS+ paper, figure 1)."""

import argparse

import numpy as np
from matplotlib.figure import Figure

from calibench.figures import style
from calibench.figures.panels import add_predictions, confidences
from calibench.metrics.selective import retention, retention_curve

Run = tuple[np.ndarray, np.ndarray]  # confidence (N,), correct (N,) bool
POINTS = 500

add_options = add_predictions


def draw(runs: dict[str, Run], title: str) -> Figure:
    """Accuracy against the fraction of predictions kept (most confident first), the rest replaced by truth.

    The dotted line is what a confidence that says nothing gives for the first run's error; the legend gives
    the normalised area: 1 = all errors have the lowest confidences, 0 = confidence says nothing.
    """
    figure, (axis,) = style.panels(1, 5.2, 3.6)
    handles, labels, curves = [], [], {}
    for i, (head, (confidence, correct)) in enumerate(runs.items()):
        curve = retention_curve(confidence, correct)
        at = np.unique(np.linspace(0, len(confidence), POINTS).astype(int))
        colour = style.PALETTE[i % len(style.PALETTE)]
        dashes = style.DASHES[i // len(style.PALETTE) % len(style.DASHES)]
        (line,) = axis.plot(
            100 * at / len(confidence), 100 * curve[at], color=colour, linestyle=dashes, linewidth=1.4
        )
        curves[style.short(head, 28)] = 100 * curve[at]
        area = retention(confidence, correct)
        handles.append(line)
        labels.append(
            f"{style.short(head, 28)}: R-AUC {area['r_auc']:.4f}, normalised {area['r_auc_normalised']:.3f}"
        )
        if i == 0:
            (random,) = axis.plot(
                [0, 100], [100, 100 * curve[-1]], color="#888888", linestyle=":", linewidth=1
            )
            handles.append(random)
            labels.append(f"{style.short(head, 28)}, kept at random")
    axis.set(xlabel="predictions kept, most confident first (%)", ylabel="accuracy (%)", xlim=(0, 100))
    style.focus(axis, curves)
    axis.grid(axis="y", color="#DDDDDD", linewidth=0.5)
    style.legend_below(figure, handles, labels)
    style.headline(figure, title)
    return figure


def figure(args: argparse.Namespace) -> Figure:
    """Retention curves of all runs in one panel."""
    return draw(*confidences(args))
