"""Critical-difference diagrams: mean rank of every run over data sets and backbones, with its interval and worst rank."""

import argparse
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calibench.figures import style
from calibench.regimes.catalog import label

MEASURES = {"top1_error": "Top-1 error", "nll": "NLL", "ece": "ECE"}


def joined(means: list[float], difference: float) -> list[tuple[int, int]]:
    """First and last place of the largest sets of neighbours that lie within the critical difference.

    Args:
        means: mean ranks, the best first.
        difference: two of them further apart than this differ.

    >>> joined([1.2, 2.0, 2.9, 3.9], 1.25)
    [(0, 1), (1, 2), (2, 3)]
    """
    found: list[tuple[int, int]] = []
    for first, best in enumerate(means):
        last = max(i for i, mean in enumerate(means) if mean - best <= difference)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def _panel(axis: Axes, rows: pd.DataFrame, looks: dict[str, style.Look]) -> None:
    """One line per run, the best on top; brackets at the right join runs within the critical difference."""
    count = len(rows)
    for place, row in enumerate(rows.itertuples()):
        colour = looks[row.run].colour
        axis.plot([row.low, row.high], [place, place], color=colour, linewidth=2)
        axis.plot(row.mean_rank, place, "o", color=colour, markersize=5.5)
        axis.scatter(row.worst_rank, place, s=26, facecolors="none", edgecolors=colour)
    difference = rows["critical_difference"].iloc[0]
    brackets = joined(list(rows["mean_rank"]), difference)
    for at, (first, last) in enumerate(brackets):
        axis.plot([count + 0.35 + 0.2 * at] * 2, [first - 0.2, last + 0.2], color=style.GREY, linewidth=3)
    axis.plot([1, min(1 + difference, count)], [-0.75, -0.75], color="black", linewidth=1.5, marker="|")
    axis.text(1, -0.95, f"critical difference {difference:.2f}", fontsize=8, va="bottom")
    axis.set_yticks(range(count), [style.short(label(run), 18) for run in rows["run"]])
    axis.set_ylim(count - 0.5, -1.5)
    axis.set_xlim(0.8, count + 0.35 + 0.2 * len(brackets))
    axis.set_xticks(range(1, count + 1))
    axis.grid(axis="x")


def draw(ranks: pd.DataFrame, runs: list[str], level: float) -> Figure:
    """A panel per measure.

    Args:
        ranks: ranks.csv.
        runs: all runs of the experiment, in its order.
        level: of the intervals.
    """
    ranks = ranks[ranks["split"] == "test"].sort_values("mean_rank", kind="stable")
    found = {metric: rows for metric in MEASURES if len(rows := ranks[ranks["metric"] == metric])}
    height = 1.3 + 0.3 * max(map(len, found.values()), default=1)
    figure, axes = style.panels(max(len(found), 1), 3.0, height)
    for axis, (metric, rows) in zip(axes, found.items(), strict=False):
        style.head(axis, MEASURES[metric])
        _panel(axis, rows, style.looks(runs))
    if not found:
        axes[0].set_title("no place has two runs to rank")
        axes[0].axis("off")
        return figure
    figure.supxlabel("rank: 1 is best", fontsize=8.5)
    places = next(iter(found.values()))["places"].iloc[0]
    style.headline(
        figure,
        f"Mean rank over {places} places (dot, {100 * level:g} % interval) and worst rank (ring); a grey bar joins runs "
        "within the critical difference",
    )
    return figure


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of this kind of figure."""
    command.add_argument("--ranks", type=Path, required=True, help="ranks.csv of the experiment")
    command.add_argument("--runs", required=True, help="all runs of the experiment, by commas")
    command.add_argument("--level", type=float, default=0.95, help="of the intervals in ranks.csv")


def figure(args: argparse.Namespace) -> Figure:
    """Critical-difference diagrams of the whole experiment."""
    return draw(pd.read_csv(args.ranks), args.runs.split(","), args.level)
