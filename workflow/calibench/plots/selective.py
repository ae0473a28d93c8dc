"""Retention curves, and the confidence of right and wrong predictions (LS+ paper, figures 1 and 2)."""

import numpy as np
from matplotlib.figure import Figure

from calibench.metrics.selective import retention, retention_curve
from calibench.plots import style

Run = tuple[np.ndarray, np.ndarray]  # confidence (N,), correct (N,) bool
POINTS = 500


def draw_retention(runs: dict[str, Run], title: str) -> Figure:
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


def draw_density(runs: dict[str, Run], title: str) -> Figure:
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
