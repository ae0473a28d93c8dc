"""Reliability diagrams with the number of samples per bin, one panel per run."""

import argparse

import numpy as np
from matplotlib.figure import Figure

from calibench.figures import style
from calibench.figures.panels import add_predictions, confidences
from calibench.metrics.calibration import Bins, reliability

BAND = "95 % band if calibrated"


def null_band(bins: Bins, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Per bin (M,), the accuracies between which a calibrated model stays with probability ``level``."""
    from scipy.stats import binom

    count = np.maximum(bins.count, 1)
    tails = (1 - level) / 2, (1 + level) / 2
    low, high = (binom.ppf(tail, count, bins.confidence) / count for tail in tails)
    return np.maximum(low, 0), high


def draw(runs: dict[str, tuple[np.ndarray, np.ndarray]], title: str) -> Figure:
    """Accuracy against confidence in 15 equal-width bins, above the samples per bin on a log scale.

    Args:
        runs: panel title → (confidence (N,), correct (N,) bool).
        title: what data, model, split and checkpoint these are.
    """
    columns = min(len(runs), 4)
    rows = -(-len(runs) // columns)
    figure = style.plt.figure(figsize=(max(2.75 * columns, 4.5), 3.7 * rows + 0.6))
    style.headline(figure, title)
    outer = figure.subfigures(rows, columns, squeeze=False)
    most = max(len(confidence) for confidence, _ in runs.values())
    for part, (head, (confidence, correct)) in zip(outer.flat, runs.items(), strict=False):
        above, below = part.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        _diagram(above, head, confidence, correct)
        _counts(below, confidence, correct, most)
    handles, labels = above.get_legend_handles_labels()
    style.legend_below(figure, handles, labels)
    return figure


def _diagram(axis, head: str, confidence: np.ndarray, correct: np.ndarray) -> None:
    bins = reliability(confidence, correct)
    filled = bins.count > 0
    width = 1 / len(bins.count)
    left = np.arange(len(bins.count)) * width
    axis.plot([0, 1], [0, 1], color="#666666", linewidth=0.8, linestyle="--", label="perfect")
    axis.bar(
        left[filled],
        bins.accuracy[filled],
        width,
        align="edge",
        color="#8DBBDB",  # light, so that the band is seen on it
        edgecolor="white",
        linewidth=0.4,
        label="accuracy",
    )
    low, high = null_band(bins)
    axis.vlines(
        bins.confidence[filled], low[filled], high[filled], color=style.WRONG, linewidth=1, label=BAND
    )
    axis.plot(
        bins.confidence[filled],
        bins.confidence[filled],
        linestyle="none",
        marker="_",
        markersize=7,
        markeredgewidth=1.6,
        color=style.WRONG,
        label="mean confidence",
    )
    axis.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy in bin")
    numbers = f"ECE {bins.ece:.4f}, conf. {confidence.mean():.4f}, acc. {correct.mean():.4f}"
    axis.set_title(style.short(head, 32), pad=18)
    axis.text(0.5, 1.02, numbers, transform=axis.transAxes, ha="center", va="bottom", fontsize=7.5)


def _counts(axis, confidence: np.ndarray, correct: np.ndarray, most: int) -> None:
    count = reliability(confidence, correct).count
    width = 1 / len(count)
    axis.bar(
        np.arange(len(count)) * width, count, width, align="edge", color="#888888", edgecolor="white", lw=0.4
    )
    axis.set_yscale("log")
    style.log_ticks(axis.yaxis)
    axis.set(ylim=(0.7, most * 1.5), xlabel="confidence", ylabel="samples")


add_options = add_predictions


def figure(args: argparse.Namespace) -> Figure:
    """Reliability diagrams of all runs on one part and checkpoint."""
    return draw(*confidences(args))
