"""Error, ECE and NLL on test against each setting of a sweep (Zhang et al. 2021, figure 7)."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calibench.cli import json_object
from calibench.errors import UserError
from calibench.figures import style
from calibench.figures.panels import Panels
from calibench.metrics.labels import METRICS
from calibench.regimes.catalog import label
from calibench.tables.long import read_long
from calibench.tables.sweep import tried

MEASURES = ("top1_error", "ece", "nll")
LOG_FROM = 30  # largest over smallest value from which the axis is logarithmic


def values_of(metrics: pd.DataFrame, settings: dict, dataset: str, backbone: str) -> pd.DataFrame:
    """A row per run, seed, measure and setting of one panel set, in printed units.

    Args:
        metrics: the experiment's long table.
        settings: as of :func:`calibench.tables.sweep.choose`.
        dataset: which data set.
        backbone: which backbone.

    Returns:
        Columns run (label of the one that is varied), base, setting, at (the value as text), own (bool), seed, metric, shown.
    """
    rows = metrics[(metrics["split"] == "test") & (metrics["checkpoint"] == settings["checkpoint"])]
    rows = rows[(rows["dataset"] == dataset) & (rows["backbone"] == backbone) & rows["metric"].isin(MEASURES)]
    rows = rows.assign(run=rows["regime"] + rows["variant"])
    rows = rows.merge(tried(settings).rename(columns={"value": "at"}), on="run").sort_values("order")
    factor = rows["metric"].map({name: METRICS[name][1] for name in MEASURES}).astype(float)
    return rows.assign(
        own=rows["run"] == rows["base"],
        run=[label(base) for base in rows["base"]],
        shown=rows["value"] * factor,
    )


def draw(values: pd.DataFrame, looks: dict[str, style.Look], title: str) -> Figure:
    """A row of panels per setting, a column per measure; bands reach from the lowest seed to the highest.

    The run's own value has a ring, or is a dotted line where it is not a number (``null``, which is one epoch).

    Args:
        values: of :func:`values_of`.
        looks: how each run is drawn.
        title: what data and model these are.
    """
    settings = list(dict.fromkeys(values["setting"]))
    figure, axes = style.panels(len(settings) * len(MEASURES), 3.0, 2.5, columns=len(MEASURES))
    for i, axis in enumerate(axes):
        setting, measure = settings[i // len(MEASURES)], MEASURES[i % len(MEASURES)]
        part = values[(values["setting"] == setting) & (values["metric"] == measure)]
        _panel(axis, part, looks)
        style.head(axis, METRICS[measure][0])
        axis.set(xlabel="factor on the learning rate" if setting == "lr" else setting, ylabel="")
    legend = style.entries(looks)
    ring = style.handle(style.Look(style.GREY), marker="o", mfc="none", ms=8)
    style.finish(
        figure, legend | {"the run without the sweep (dotted: its value is not a number)": ring}, title
    )
    return figure


def _panel(axis: Axes, part: pd.DataFrame, looks: dict[str, style.Look]) -> None:
    numbers = pd.to_numeric(part["at"], errors="coerce")
    numeric = numbers.notna().any()
    part = part.assign(x=numbers if numeric else part["at"])
    style.lines(axis, part.dropna(subset=["x"]), "x", "shown", looks)
    for run, rows in part.groupby("run", sort=False):
        means, colour = rows.groupby("x")["shown"].mean(), looks[run].colour
        axis.plot(means.index, means, "o", ms=3, color=colour)
        own = rows[rows["own"]]
        if own["x"].isna().any():
            axis.axhline(own["shown"].mean(), color=colour, linestyle=":", linewidth=1)
        elif len(own):
            axis.plot(own["x"].iloc[:1], [own["shown"].mean()], "o", ms=8, mfc="none", mec=colour)
    shown = numbers.dropna()
    if numeric and shown.min() > 0 and shown.max() >= LOG_FROM * shown.min():
        axis.set_xscale("log")
        style.log_ticks(axis.xaxis)


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of this kind of figure."""
    command.add_argument("--metrics", type=Path, required=True, help="metrics.csv of the experiment")
    command.add_argument("--settings", required=True, help="JSON: tries, by, checkpoint")


def figure(args: argparse.Namespace) -> Figure:
    """Test error, ECE and NLL against every setting that is swept.

    Raises:
        UserError: if none of the runs is in the metrics.
    """
    panels, settings = Panels(args), json_object(args.settings)
    values = values_of(
        read_long(args.metrics), settings, panels.runs[0]["dataset"], panels.runs[0]["backbone"]
    )
    if values.empty or not np.isfinite(values["shown"]).any():
        raise UserError(f"{args.metrics}: none of the runs of the sweep is in it; collect it again")
    looks = style.looks(list(dict.fromkeys(base for _, base, *_ in settings["tries"])))
    wanted = {label(base): looks[base] for base in dict.fromkeys(values["base"])}
    return draw(values, wanted, panels.titled("sweep", f"test, checkpoint {settings['checkpoint']}"))
