"""Learning curves: a line per run, its mean over the seeds, with a band from the lowest seed to the highest."""

import argparse
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from calibench.figures import style
from calibench.figures.panels import Panels, add_checkpoint, add_runs
from calibench.files import write_csv

Names = dict[str, tuple[str, str]]
PANELS: Names = {  # column of the history: title of the panel, unit
    "loss": ("training loss (own of each regime)", "loss"),
    "train_top1": ("training Top-1 error", "%"),
    "val_top1": ("validation Top-1 error", "%"),
    "val_nll": ("validation NLL", "nats"),
    "matrix_entropy": ("entropy of the label matrix", "nats"),
}
ACCURACIES = {"train_top1", "val_top1"}
PEAK = 10  # times the median


def draw(
    history: pd.DataFrame,
    looks: dict[str, style.Look],
    title: str,
    names: Names = PANELS,
    levels: dict[str, float] | None = None,
) -> Figure:
    """Draw the panels whose column has any value other than zero; a dot at the chosen epoch of each seed.

    Args:
        history: columns ``run`` (legend entry, in this order), ``seed``, ``epoch`` (1-based), ``chosen`` (bool) and
            those of ``names`` that exist; accuracies are fractions.
        looks: how each run is drawn.
        title: what data and model these are.
        names: column of the history → title of its panel and unit.
        levels: name → height of a grey line across the first panel.
    """
    shown = [c for c in names if c in history and history[c].fillna(0).any()]
    figure, axes = style.panels(len(shown), 3.0, 2.6, columns=3)
    legend = {style.short(run, 32): style.handle(look) for run, look in looks.items()}
    for axis, column in zip(axes, shown, strict=True):
        data = history.dropna(subset=[column])
        if column in ACCURACIES:
            data = data.assign(**{column: 100 * (1 - data[column])})
        head, unit = names[column]
        style.lines(axis, data, "epoch", column, looks)
        for run, dots in data[data["chosen"]].groupby("run"):
            axis.plot(
                dots["epoch"], dots[column], "o", color=looks[run][0], mec="white", mew=0.5, markersize=4.5
            )
        peaks = column == "val_nll" and _has_peaks(data[column])
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
        legend[name] = style.handle((style.GREY, dashes))
        axes[0].axhline(level, color=style.GREY, linewidth=1, linestyle=(0, dashes))
    if history["chosen"].any():
        dot = style.handle((style.GREY, ""), marker="o", markersize=4.5)
        dot.set_linestyle("none")
        legend["chosen epoch of each seed"] = dot
    style.legend(figure, list(legend.values()), list(legend))
    style.headline(figure, title)
    return figure


def _has_peaks(values: pd.Series) -> bool:
    """Whether first epochs (an NLL of 70, say) would flatten all others on a linear axis."""
    return bool((values > 0).all() and values.max() > PEAK * values.median())


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of this kind of figure."""
    add_runs(command)
    add_checkpoint(command)
    command.add_argument("--out-data", type=Path, help="CSV with the numbers in the figure")


def figure(args: argparse.Namespace) -> Figure:
    """Learning curves of all runs and seeds."""
    panels = Panels(args)
    history = panels.history(args.checkpoint)
    if args.out_data:
        write_csv(history, args.out_data)
    return draw(history, panels.looks, panels.titled("learning curves", f"checkpoint {args.checkpoint}"))
