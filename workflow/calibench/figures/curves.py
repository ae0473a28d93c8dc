"""Learning curves: a line per run, its mean over the seeds, with a band from the lowest seed to the highest."""

import argparse

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from calibench.figures import style
from calibench.figures.panels import Panels, add_runs

Names = dict[str, tuple[str, str]]
PANELS: Names = {  # column of the history: title of the panel, unit
    "loss": ("training loss (own of each regime)", "loss"),
    "train_top1": ("training Top-1 error", "%"),
    "val_top1": ("validation Top-1 error", "%"),
    "val_nll": ("validation NLL", "nats"),
    "matrix_entropy": ("entropy of the label matrix", "nats"),
}
ACCURACIES = {"train_top1", "val_top1"}
PEAK = 10  # times the median NLL: first epochs (an NLL of 70, say) would flatten all others on a linear axis

add_options = add_runs


def draw(
    history: pd.DataFrame,
    looks: dict[str, style.Look],
    title: str,
    names: Names = PANELS,
    levels: dict | None = None,
) -> Figure:
    """Draw the panels whose column has any value other than zero; a dot at the chosen epoch of each seed.

    Args:
        history: columns ``run``, ``seed``, ``epoch`` (1-based), ``chosen`` (bool) and those of ``names`` that exist;
            accuracies are fractions.
        looks: how each run is drawn, in the order of the legend.
        title: what data and model these are.
        names: column of the history → title of its panel and unit.
        levels: name → height of a grey line across the first panel.
    """
    shown = [c for c in names if c in history and history[c].fillna(0).any()]
    figure, axes = style.panels(len(shown), 3.0, 2.6)
    legend = style.entries(looks)
    for axis, column in zip(axes, shown, strict=True):
        data = history.dropna(subset=[column])
        if column in ACCURACIES:
            data = data.assign(**{column: 100 * (1 - data[column])})
        head, unit = names[column]
        style.lines(axis, data, "epoch", column, looks)
        for run, dots in data[data["chosen"]].groupby("run"):
            axis.plot(
                dots["epoch"],
                dots[column],
                "o",
                color=looks[run].colour,
                mec="white",
                mew=0.5,
                markersize=4.5,
            )
        peaks = column == "val_nll" and data[column].max() > PEAK * data[column].median() > 0
        style.head(axis, f"{head}, log scale" if peaks else head)
        means = data.groupby(["run", "epoch"], sort=False)[column].mean()
        style.focus(
            axis, {style.short(run, 32): one.to_numpy() for run, one in means.groupby("run", sort=False)}
        )
        if peaks:
            axis.set_yscale("log")
            style.log_ticks(axis.yaxis)
        axis.set(xlabel="epoch", ylabel=unit)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    for (name, level), dashes in zip((levels or {}).items(), style.DASHES[1:], strict=False):
        look = style.Look(style.GREY, dashes)
        legend[name] = style.handle(look)
        axes[0].axhline(level, color=look.colour, linewidth=1, linestyle=(0, look.dashes))
    if history["chosen"].any():
        legend["chosen epoch of each seed"] = style.dot(style.GREY)
    style.finish(figure, legend, title)
    return figure


def figure(args: argparse.Namespace) -> Figure:
    """Learning curves of all runs and seeds."""
    panels = Panels(args)
    title = panels.titled("learning curves", f"checkpoint {args.checkpoint}")
    return draw(panels.history(args.checkpoint), panels.looks, title)
