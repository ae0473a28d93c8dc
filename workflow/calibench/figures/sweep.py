"""Error, ECE and NLL on test against each setting of a sweep (Zhang et al. 2021, figure 7)."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
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
        Columns label (of the run that is varied), setting, at (the value as text), own (bool), seed, metric, shown.
    """
    rows = metrics[(metrics["split"] == "test") & (metrics["checkpoint"] == settings["checkpoint"])]
    rows = rows[(rows["dataset"] == dataset) & (rows["backbone"] == backbone) & rows["metric"].isin(MEASURES)]
    rows = rows.assign(run=rows["regime"] + rows["variant"])
    rows = rows.merge(tried(settings).rename(columns={"value": "at"}), on="run").sort_values("order")
    factor = rows["metric"].map({name: METRICS[name][1] for name in MEASURES})
    return rows.assign(
        label=[label(base) for base in rows["base"]],
        own=rows["run"] == rows["base"],
        shown=rows["value"] * factor,
    )


def draw(values: pd.DataFrame, title: str) -> Figure:
    """A row of panels per setting, a column per measure; a band of one standard deviation over the seeds.

    The run's own value has a ring, or is a dashed line where it is no number (``null``: one epoch, say).

    Args:
        values: of :func:`values_of`.
        title: what data and model these are.
    """
    names = list(dict.fromkeys(values["label"]))
    colours = {name: style.look(i)[0] for i, name in enumerate(names)}
    settings = list(dict.fromkeys(values["setting"]))
    figure, axes = style.panels(len(settings) * len(MEASURES), 3.1, 2.7, columns=len(MEASURES))
    for i, axis in enumerate(axes):
        setting, measure = settings[i // len(MEASURES)], MEASURES[i % len(MEASURES)]
        part = values[(values["setting"] == setting) & (values["metric"] == measure)]
        _panel(axis, part, colours)
        name, scale, _ = METRICS[measure]
        unit = " (%)" if scale == 100 and "%" not in name else ""
        axis.set(xlabel="factor on the learning rate" if setting == "lr" else setting, ylabel=f"{name}{unit}")
        axis.grid(axis="y", color="#DDDDDD", linewidth=0.5)
    found = dict(zip(*axes[0].get_legend_handles_labels()[::-1], strict=True))
    for axis in axes[1:]:
        found |= dict(zip(*axis.get_legend_handles_labels()[::-1], strict=True))
    style.legend_below(figure, list(found.values()), list(found))
    style.headline(figure, f"{title} (ring or dashed line: the run without the sweep)")
    return figure


def _panel(axis: Axes, part: pd.DataFrame, colours: dict[str, str]) -> None:
    numbers = pd.to_numeric(part["at"], errors="coerce")
    numeric = numbers.notna().sum() > 1
    part = part.assign(x=numbers if numeric else part["at"])
    for name, rows in part.groupby("label", sort=False):
        line = rows.dropna(subset=["x"])
        sns.lineplot(
            line, x="x", y="shown", errorbar=("sd", 1), marker="o", markersize=4, color=colours[name], ax=axis, label=name
        )  # fmt: skip
        own = rows[rows["own"]]
        level = own["shown"].mean()
        if own["x"].isna().any():
            axis.axhline(level, color=colours[name], linestyle="--", linewidth=0.9)
        elif len(own):
            axis.plot(own["x"].iloc[:1], [level], "o", ms=9, mfc="none", mec=colours[name], mew=1.2)
    if axis.get_legend():
        axis.get_legend().remove()
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
    panels, settings = Panels(args.records), json_object(args.settings)
    values = values_of(
        read_long(args.metrics), settings, panels.runs[0]["dataset"], panels.runs[0]["backbone"]
    )
    if values.empty or not np.isfinite(values["shown"]).any():
        raise UserError(f"{args.metrics}: none of the runs of the sweep is in it; collect it again")
    return draw(values, panels.titled(f"sweep, test, checkpoint {settings['checkpoint']}"))
