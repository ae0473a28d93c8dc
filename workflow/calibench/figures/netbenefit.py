"""Net benefit of treating at a threshold, and calibration of the probability of a finding, for declared classes."""

import argparse

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from calibench.data.stored import class_numbers
from calibench.figures import style
from calibench.figures.panels import Panels, add_runs_and_classes
from calibench.metrics.calibration import reliability
from calibench.metrics.decision import THRESHOLDS, benefit_values, of_positive, treat_all


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of this figure."""
    add_runs_and_classes(command)
    command.add_argument(
        "--positive", nargs="+", required=True, metavar="CLASS", help="classes with a finding"
    )


def curves(score: np.ndarray, finding: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Net benefit at each threshold (``at``, ``value``), and frequency of the finding at the mean score of each bin."""
    values = [benefit_values(score, finding, t).mean() for t in THRESHOLDS]
    bins = reliability(score, finding)
    filled = bins.count > 0
    calibration = pd.DataFrame({"at": bins.confidence[filled], "value": bins.accuracy[filled]})
    return pd.DataFrame({"at": THRESHOLDS, "value": values}), calibration


def figure(args: argparse.Namespace) -> Figure:
    """Net benefit against the threshold, beside treating everybody and nobody; frequency against predicted chance."""
    panels = Panels(args)
    seen, numbers = panels.predictions(args.checkpoint), class_numbers(args.classes, args.positive)
    found, least = {"benefit": [], "calibration": []}, []
    for name, run, one in zip(panels.labels, panels.runs, seen, strict=True):
        score, finding = of_positive(one, numbers)
        for kind, frame in zip(found, curves(score, finding), strict=True):
            found[kind].append(frame.assign(run=name, seed=run["seed"]))
        least = [treat_all(finding, t) for t in THRESHOLDS]
    drawn, (left, right) = style.panels(2, 4.4, 3.4)
    benefit = pd.concat(found["benefit"])
    style.lines(left, benefit, "at", "value", panels.looks)
    left.plot(THRESHOLDS, least, color=style.GREY, linewidth=0.8)
    left.axhline(0, color=style.GREY, linewidth=0.8, linestyle="--")
    top = max(benefit["value"].max(), max(least))
    left.set(xlim=(0, 1), ylim=(-0.25 * top, 1.1 * top), xlabel="threshold", ylabel="net benefit")
    style.head(left, "net benefit (grey: treat everybody; dashed: nobody)")
    for (name, _), part in pd.concat(found["calibration"]).groupby(["run", "seed"], sort=False):
        look = panels.looks[name]
        drawing = {"color": look.colour, "linestyle": (0, look.dashes), "linewidth": 1.2}
        right.plot(part["at"], part["value"], marker="o", markersize=3, clip_on=False, **drawing)
    right.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.8, linestyle="--")
    right.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted chance of a finding", ylabel="frequency")
    style.head(right, "calibration, 15 bins of equal width")
    style.legend(
        drawn, {name: style.handle(look) for name, look in panels.looks.items() if name in panels.labels}
    )
    style.headline(
        drawn, f"{panels.tested(seen, args.checkpoint)}, finding: {style.short(', '.join(args.positive), 60)}"
    )
    return drawn
