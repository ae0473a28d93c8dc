"""Reliability diagrams, raw and after temperature scaling, with the number of images per bin; one panel per run."""

import argparse

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from calibench.calibrators import FITS
from calibench.calibrators.fold import CalibrateFold
from calibench.figures import style
from calibench.figures.panels import Panels, add_predictions, images_of
from calibench.finished.read import read_part
from calibench.metrics.calibration import BINS, Bins, reliability
from calibench.metrics.probabilities import Predictions
from calibench.metrics.smooth import smooth_reliability

LEFT = np.arange(BINS) / BINS
OUTLINE = {"fill": False, "linewidth": 0.3}

add_options = add_predictions


def null_band(bins: Bins, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Per bin (M,), the accuracies between which a calibrated model stays with probability ``level``."""
    from scipy.stats import binom

    count = np.maximum(bins.count, 1)
    tails = (1 - level) / 2, (1 + level) / 2
    low, high = (binom.ppf(tail, count, bins.confidence) / count for tail in tails)
    return np.maximum(low, 0), high


def wilson(bins: Bins) -> np.ndarray:
    """Wilson's 95 % intervals of the accuracies, (2, M); NaN where a bin is empty."""
    from scipy.stats import binomtest

    def interval(right: int, count: int) -> tuple[float, float]:
        found = binomtest(right, count).proportion_ci(method="wilson") if count else None
        return (found.low, found.high) if found else (np.nan, np.nan)

    right = np.rint(bins.accuracy * bins.count).astype(int)
    return np.array([interval(int(r), int(n)) for r, n in zip(right, bins.count, strict=True)]).T


def draw(runs: dict[str, tuple], colours: list[str], title: str) -> Figure:
    """Accuracy against confidence in 15 equal-width bins, above the images per bin.

    Args:
        runs: panel title → raw predictions, those after temperature scaling (None without a calibration part), and
            the temperature.
        colours: colour of each run's raw predictions.
        title: what data, model, part and checkpoint these are.
    """
    figure, panels = style.panels(len(runs), 3.0, 3.7, columns=3, rows_each=(3, 1), sharex=True)
    for (above, below), colour, (head, (raw, tempered, t)) in zip(panels, colours, runs.items(), strict=True):
        above.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.8, linestyle="--")
        bins = _diagram(above, raw, colour, {"color": style.BAND})
        below.stairs(bins.count, [*LEFT, 1], color=colour, fill=True, alpha=0.5)
        said = f"ECE {bins.ece:.3f}"
        if tempered:
            bins = _diagram(above, tempered, style.TEMPERED, OUTLINE)
            below.stairs(bins.count, [*LEFT, 1], color=style.TEMPERED)
            said += f"; with T = {t:.2f}: {bins.ece:.3f}"
        style.head(above, head, said)
        above.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy in bin")
        above.tick_params(labelbottom=False)
        below.set(xlabel="confidence", ylabel="images", xticks=np.linspace(0, 1, 6))
    entries = {
        "raw, in the colour of the regime": style.handle((style.GREY, ""), marker="o", markersize=4),
        "95 % of calibrated models (raw)": Patch(color=style.BAND),
    }
    if any(tempered for _, tempered, _ in runs.values()):
        entries["after temperature scaling (T)"] = style.handle(
            (style.TEMPERED, ""), marker="o", markersize=4
        )
        entries["95 % of calibrated models (T)"] = Patch(**OUTLINE)
    style.legend(figure, list(entries.values()), list(entries))
    style.headline(figure, title)
    return figure


def _diagram(axis: Axes, seen: Predictions, colour: str, band: dict) -> Bins:
    """Points with Wilson intervals, the smooth curve and the null band of each bin."""
    bins = reliability(seen.confidence, seen.correct)
    filled = bins.count > 0
    low, high = null_band(bins)
    axis.bar(LEFT[filled], (high - low)[filled], 1 / BINS, low[filled], align="edge", **band)
    at, accuracy = smooth_reliability(seen.confidence, seen.correct)
    ends = np.quantile(seen.confidence, [0.005, 0.995])  # beyond them the curve rests on nothing
    inside = (at >= ends[0]) & (at <= ends[1])
    axis.plot(at[inside], accuracy[inside], color=colour, linewidth=1.2)
    reach = np.abs(wilson(bins) - bins.accuracy)[:, filled]
    axis.errorbar(
        bins.confidence[filled],
        bins.accuracy[filled],
        reach,
        fmt="o",
        color=colour,
        markersize=3,
        elinewidth=0.8,
        clip_on=False,  # a bin without a right prediction lies on the axis
    )
    return bins


def figure(args: argparse.Namespace) -> Figure:
    """Reliability diagrams of all runs on one part and checkpoint."""
    panels = Panels(args)
    seen = panels.predictions(args)
    pairs = [_tempered(folder, args, raw) for folder, raw in zip(panels.folders, seen, strict=True)]
    runs = {title: (raw, *pair) for title, raw, pair in zip(panels.titles, seen, pairs, strict=True)}
    n = len(seen[0].targets)
    title = panels.titled(f"{n:,} {images_of(args.split)}", f"checkpoint {args.checkpoint}")
    return draw(runs, [panels.looks[name][0] for name in panels.labels], title)


def _tempered(folder, args: argparse.Namespace, raw: Predictions) -> tuple[Predictions | None, float]:
    """Predictions after temperature scaling and the temperature, fitted on the part `calibrate`."""
    logits, index = read_part(folder, args.checkpoint, "calibrate")
    if not len(index):
        return None, 1.0
    fold = CalibrateFold(logits, index["target"].to_numpy(), index["part"], str(folder))
    fitted = FITS["temperature"](fold)
    return Predictions.of_probs(fitted.apply(raw.scores), raw.targets, str(folder)), fitted.parameters[
        "temperature"
    ]
