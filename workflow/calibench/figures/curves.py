"""Learning curves: one colour per regime, thin lines for single seeds, a thick one for their mean."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, ScalarFormatter

from calibench.figures import style
from calibench.figures.panels import Panels
from calibench.files import write_csv

PANELS = {  # column of the history: axis label
    "loss": "training loss (own of each regime)",
    "train_top1": "training Top-1 error (%)",
    "val_top1": "validation Top-1 error (%)",
    "val_nll": "validation NLL (nats)",
    "matrix_entropy": "entropy of the label matrix (nats)",
}
ACCURACIES = {"train_top1", "val_top1"}
PEAK = 10  # times the median


def draw(history: pd.DataFrame, title: str) -> Figure:
    """Draw the panels whose column has any value.

    Args:
        history: columns ``run`` (legend entry, in this order), ``seed``, ``epoch`` (1-based) and those of
            :data:`PANELS` that exist; accuracies are fractions.
        title: what data and model these are.
    """
    shown = [c for c in PANELS if c in history and history[c].notna().any()]
    figure, axes = style.panels(len(shown), 3.1, 2.9, columns=3)
    runs = list(dict.fromkeys(history["run"]))
    for axis, column in zip(axes, shown, strict=True):
        means = {
            style.short(run, 32): _lines(axis, history[history["run"] == run], column, i, run)
            for i, run in enumerate(runs)
        }
        style.focus(axis, {name: mean for name, mean in means.items() if np.isfinite(mean).any()})
        axis.set(xlabel="epoch", ylabel=PANELS[column])
        if column == "val_nll" and _has_peaks(history[column].dropna()):
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter(ScalarFormatter())
            axis.yaxis.set_minor_formatter(NullFormatter())
            axis.set_ylabel(f"{PANELS[column]}, log scale")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(axis="y", color="#DDDDDD", linewidth=0.5)
        axis.margins(x=0.02)
    handles, labels = axes[0].get_legend_handles_labels()
    style.legend_below(figure, handles, labels)
    style.headline(figure, title)
    return figure


def _has_peaks(values: pd.Series) -> bool:
    """Whether first epochs (an NLL of 70, say) would flatten all others on a linear axis."""
    return bool((values > 0).all() and values.max() > PEAK * values.median())


def _lines(axis, history: pd.DataFrame, column: str, i: int, run: str) -> np.ndarray:
    """Draw one run; its mean over the seeds, per epoch."""
    colour = style.PALETTE[i % len(style.PALETTE)]
    dashes = style.DASHES[i // len(style.PALETTE) % len(style.DASHES)]
    table = history.pivot_table(index="epoch", columns="seed", values=column)
    if column in ACCURACIES:
        table = 100 * (1 - table)
    few = len(table) < 3  # one or two epochs draw no visible line
    if table.shape[1] > 1:
        axis.plot(table.index, table, color=colour, linewidth=0.5, alpha=0.5, linestyle=dashes)
    mean = table.mean(axis=1)
    axis.plot(
        mean.index,
        mean,
        color=colour,
        linewidth=1.5,
        linestyle=dashes,
        marker="o" if few else None,
        markersize=3,
        label=style.short(run, 32),
    )
    return mean.to_numpy(dtype=float)


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of this kind of figure."""
    command.add_argument("--out-data", type=Path, help="CSV with the numbers in the figure")


def figure(args: argparse.Namespace) -> Figure:
    """Learning curves; seeds of a regime share a colour."""
    panels = Panels(args.records)
    history = panels.history()
    if args.out_data:
        write_csv(history, args.out_data)
    return draw(history, panels.titled("learning curves"))
