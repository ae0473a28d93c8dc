"""Every run minus hard labels, pooled over data sets and backbones, with its interval; smaller dots are each of these."""

import argparse
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calibench.figures import style
from calibench.regimes.catalog import label

TEMPERED = "@temperature"


class Measure(NamedTuple):
    """A panel."""

    metric: str
    tempered: bool
    title: str
    factor: int


MEASURES = [
    Measure("top1_error", False, "Top-1 error (points)", 100),
    Measure("nll", False, "NLL (nats)", 1),
    Measure("ece", False, "ECE as trained", 1),
    Measure("ece", True, "ECE after temperature", 1),
]


def differences(contrasts: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """The rows of one panel on test, in the unit of its axis; a run is named without its calibrator.

    Args:
        contrasts: contrasts.csv; its family `hard`: raw minus raw, and tempered minus tempered.
        measure: the panel.
    """
    rows = contrasts[(contrasts["family"] == "hard") & (contrasts["metric"] == measure.metric)]
    wanted = "hard" + TEMPERED if measure.tempered else "hard"
    rows = rows[
        (rows["split"] == "test")
        & (rows["reference"] == wanted)
        & (rows["run"].str.endswith(TEMPERED) == measure.tempered)
    ]
    numbers = rows[["difference", "low", "high"]] * measure.factor
    return rows.assign(run=rows["run"].str.removesuffix(TEMPERED), **numbers)


def _panel(axis: Axes, rows: pd.DataFrame, runs: list[str], looks: dict[str, style.Look]) -> None:
    """One line per run: interval and dot of all, small rings for each data set and backbone."""
    axis.axvline(0, color=style.GREY, linewidth=1)
    for place, run in enumerate(runs):
        mine = rows[rows["run"] == run]
        pooled, each = mine[mine["backbone"] == ""], mine[mine["backbone"] != ""]
        colour = looks[run].colour
        axis.scatter(
            each["difference"], [place - 0.24] * len(each), s=12, facecolors="none", edgecolors=colour
        )
        for row in pooled.itertuples():
            axis.plot([row.low, row.high], [place, place], color=colour, linewidth=2)
            axis.plot(row.difference, place, "o", color=colour, markersize=5.5)
    axis.set_ylim(len(runs) - 0.5, -0.6)
    axis.grid(axis="x")
    axis.locator_params(axis="x", nbins=4)


def draw(contrasts: pd.DataFrame, runs: list[str], level: float) -> Figure:
    """A panel per measure, a line per run.

    Args:
        contrasts: contrasts.csv.
        runs: all runs of the experiment, in its order.
        level: of the intervals.
    """
    found = {measure: differences(contrasts, measure) for measure in MEASURES}
    found = {measure: rows for measure, rows in found.items() if len(rows)}
    compared = [run for run in runs if any((rows["run"] == run).any() for rows in found.values())]
    figure, axes = style.panels(max(len(found), 1), 2.3, 0.9 + 0.3 * max(len(compared), 1), len(MEASURES))
    for axis in axes[1:]:
        axis.tick_params(labelleft=False)
    for axis, (measure, rows) in zip(axes, found.items(), strict=False):
        style.head(axis, measure.title)
        _panel(axis, rows, compared, style.looks(runs))
        axis.set_yticks(range(len(compared)))
    if found:
        axes[0].set_yticklabels([style.short(label(run)) for run in compared])
        figure.supxlabel("← lower, better    difference to hard labels    higher, worse →", fontsize=8.5)
    else:
        axes[0].set_title("no run was trained beside hard labels")
        axes[0].axis("off")
    several = contrasts["dataset"].nunique() > 2  # one of them is '', all together
    together = "all data sets and backbones" if several else "all backbones"
    headline = f"Every run minus hard labels: {together} together (dot, {100 * level:g} % interval), each alone (rings)"
    style.headline(figure, headline)
    return figure


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of this kind of figure."""
    command.add_argument("--contrasts", type=Path, required=True, help="contrasts.csv of the experiment")
    command.add_argument("--runs", required=True, help="all runs of the experiment, by commas")
    command.add_argument("--level", type=float, default=0.95, help="of the intervals in contrasts.csv")


def figure(args: argparse.Namespace) -> Figure:
    """Forest plot of the whole experiment."""
    text = dict.fromkeys(("dataset", "backbone", "run", "reference"), str)
    contrasts = pd.read_csv(args.contrasts, dtype=text, keep_default_na=False, na_values={"difference": [""], "low": [""], "high": [""]})  # fmt: skip
    return draw(contrasts, args.runs.split(","), args.level)
