"""Reliability diagrams, raw and after temperature scaling, with the number of images per bin; one panel per run."""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from calibench.calibrators import FITS
from calibench.calibrators.fold import CalibrateFold
from calibench.figures import style
from calibench.figures.panels import Panels, add_runs
from calibench.finished.read import read_part
from calibench.metrics.calibration import BINS, Bins, reliability
from calibench.metrics.probabilities import Predictions
from calibench.metrics.smooth import smooth_reliability

LEFT = np.arange(BINS) / BINS
FEWEST = 10  # images within the bandwidth, for the curve to be drawn
OUTLINE = {"fill": False, "linewidth": 0.3}

add_options = add_runs


def null_band(bins: Bins, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Per bin (M,), the accuracies between which a calibrated model stays with probability ``level``."""
    from scipy.stats import binom

    count = np.maximum(bins.count, 1)
    tails = (1 - level) / 2, (1 + level) / 2
    low, high = (binom.ppf(tail, count, bins.confidence) / count for tail in tails)
    return np.maximum(low, 0), high


def wilson(bins: Bins) -> np.ndarray:
    """Wilson's 95 % intervals of the accuracies, (2, M); those of empty bins mean nothing."""
    from statsmodels.stats.proportion import proportion_confint

    count = np.maximum(bins.count, 1)
    return np.array(proportion_confint(bins.accuracy * count, count, method="wilson"))


def draw(runs: dict[str, tuple], colours: list[str], title: str) -> Figure:
    """Accuracy against confidence in 15 equal-width bins, above the images per bin.

    Args:
        runs: panel title → raw predictions, those after temperature scaling (None where there is no part to fit on),
            and the temperature.
        colours: colour of each run's raw predictions.
        title: what data, model and checkpoint these are.
    """
    figure, axes = style.panels(len(runs), 3.0, 3.7)
    for above, colour, (head, (raw, tempered, t)) in zip(axes, colours, runs.items(), strict=True):
        place = above.get_subplotspec().subgridspec(2, 1, height_ratios=(3, 1))
        above.set_subplotspec(place[0])
        below = figure.add_subplot(place[1], sharex=above)
        above.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.8, linestyle="--")
        bins = _diagram(above, raw, colour, {"color": style.BAND})
        below.stairs(bins.count, [*LEFT, 1], color=colour, fill=True, alpha=0.5)
        said = f"ECE {bins.ece:.3f}"
        if tempered:
            bins = _diagram(above, tempered, style.TEMPERED, OUTLINE)
            below.stairs(bins.count, [*LEFT, 1], color=style.TEMPERED)
            said += f"; with T = {t:.2f}: {bins.ece:.3f}"
        style.head(above, style.short(head, 32), said)
        above.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy in bin")
        above.tick_params(labelbottom=False)
        below.set(xlabel="confidence", ylabel="images", xticks=np.linspace(0, 1, 6))
    marker = {"marker": "o", "markersize": 4}
    entries = {
        "raw, in the colour of the regime": style.handle(style.Look(style.GREY), **marker),
        "95 % of calibrated models (raw)": Patch(color=style.BAND),
    }
    if any(tempered for _, tempered, _ in runs.values()):
        entries["after temperature scaling (T)"] = style.handle(style.Look(style.TEMPERED), **marker)
        entries["95 % of calibrated models (T)"] = Patch(**OUTLINE)
    style.finish(figure, entries, title)
    return figure


def _diagram(axis: Axes, seen: Predictions, colour: str, band: dict) -> Bins:
    """Points with Wilson intervals, the smooth curve and the null band of each bin."""
    bins = reliability(seen.confidence, seen.correct)
    filled = bins.count > 0
    low, high = null_band(bins)
    axis.bar(LEFT[filled], (high - low)[filled], 1 / BINS, low[filled], align="edge", **band)
    at, accuracy, near = smooth_reliability(seen.confidence, seen.correct)
    ends = np.quantile(seen.confidence, [0.005, 0.995])
    known = (at >= ends[0]) & (at <= ends[1]) & (near >= FEWEST)
    axis.plot(at, np.where(known, accuracy, np.nan), color=colour, linewidth=1.2)
    reach = np.abs(wilson(bins) - bins.accuracy)[:, filled]
    points = {"fmt": "o", "markersize": 3, "elinewidth": 0.8, "color": colour}
    # not clipped: a bin without a right prediction lies on the axis
    axis.errorbar(bins.confidence[filled], bins.accuracy[filled], reach, clip_on=False, **points)
    return bins


def figure(args: argparse.Namespace) -> Figure:
    """Reliability diagrams of all runs on test, for one checkpoint."""
    panels = Panels(args)
    seen = panels.predictions(args.checkpoint)
    runs = {
        title: (raw, *_tempered(folder, args.checkpoint, raw))
        for (title, folder), raw in zip(panels.by_title(), seen, strict=True)
    }
    colours = [panels.looks[name].colour for name in panels.labels]
    return draw(runs, colours, panels.tested(seen, args.checkpoint))


def _tempered(folder: Path, checkpoint: str, raw: Predictions) -> tuple[Predictions | None, float]:
    """Predictions after temperature scaling and the temperature, fitted on the part `calibrate`."""
    logits, index = read_part(folder, checkpoint, "calibrate")
    if not len(index):
        return None, 1.0
    fitted = FITS["temperature"](
        CalibrateFold(logits, index["target"].to_numpy(), index["part"], str(folder))
    )
    return Predictions.of_probs(fitted.apply(raw.scores), raw.targets, str(folder)), fitted.parameters[
        "temperature"
    ]
