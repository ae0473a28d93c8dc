"""How error and calibration change away from the test images: by severity, by bound of an attack, by site."""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import seaborn
from matplotlib.figure import Figure

from calibench.errors import UserError
from calibench.figures import style
from calibench.figures.panels import Panels
from calibench.finished.names import KEYS
from calibench.finished.sets import ATTACK, CORRUPTION, SITE

MEASURES = {"top1_error": ("Top-1 error (%)", 100), "ece": ("ECE", 1), "nll": ("NLL (nats)", 1)}
MEAN = "mean of all corruptions"
AXES = {CORRUPTION: "severity (0: test images)", ATTACK: "bound in grey levels (0: test images)", SITE: ""}
DASHES = ("", (4, 2), (1, 1.5), (4, 1.5, 1, 1.5))


def points(shift: pd.DataFrame) -> pd.DataFrame:
    """What is drawn: the rows as trained, at level 0 (or at the site ``test``) the test images, and the mean corruption.

    Args:
        shift: rows of :mod:`calibench.tables.shift` with a column ``run``.

    Returns:
        Columns kind, family, run, seed, metric, x, value; x is a level, or the name of a site.
    """
    rows = shift[(shift["calibrator"] == "none") & shift["metric"].isin(list(MEASURES))]
    rows = rows.assign(x=rows["level"].where(rows["kind"] != SITE, rows["split"].str.partition("@")[2]))
    by = ["kind", "family", "run", "seed", "metric"]
    clean = rows.groupby(by, sort=False)["test"].first().rename("value").reset_index()
    clean["x"] = [("test" if kind == SITE else 0.0) for kind in clean["kind"]]
    found = pd.concat([clean, rows[[*by, "x", "value"]]], ignore_index=True)
    kinds = found[found["kind"] == CORRUPTION]
    if kinds["family"].nunique() > 1:
        mean = kinds.groupby(["kind", "run", "seed", "metric", "x"], sort=False)["value"].mean().reset_index()
        found = pd.concat([mean.assign(family=MEAN), found], ignore_index=True)
    return found


def _panel(axis: plt.Axes, rows: pd.DataFrame, kind: str, looks: dict[str, tuple], runs: list[str]) -> None:
    """Lines over levels, or points at sites; bands and bars reach from the lowest to the highest seed."""
    colours = {run: looks[run][0] for run in runs}
    common = {"data": rows, "x": "x", "y": "value", "hue": "run", "hue_order": runs, "palette": colours}
    if kind == SITE:
        seaborn.pointplot(
            **common, ax=axis, errorbar=("pi", 100), dodge=0.4, linestyle="none", markersize=4, err_kws={"linewidth": 1}
        )  # fmt: skip
    else:
        rows["x"] = rows["x"].astype(float)
        dashes = {run: looks[run][1] for run in runs}
        seaborn.lineplot(
            **common, ax=axis, errorbar=("pi", 100), style="run", style_order=runs, dashes=dashes, marker="o",
            markersize=3.5, linewidth=1.3, err_kws={"alpha": 0.15, "linewidth": 0},
        )  # fmt: skip
        axis.set_xticks(sorted(rows["x"].unique()))
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.grid(axis="y", color="#DDDDDD", linewidth=0.5)


def draw(shift: pd.DataFrame, runs: list[str], title: str) -> Figure:
    """A row of panels for each corruption, attack and for the sites; error, ECE and NLL across.

    Args:
        shift: rows of :mod:`calibench.tables.shift` of one data set and backbone, with a column ``run`` (its label).
        runs: labels in the order of the legend.
        title: what data and model these are.
    """
    found = points(shift)
    places = found[["kind", "family"]].drop_duplicates().itertuples(index=False)
    places = sorted(places, key=lambda place: [SITE, CORRUPTION, ATTACK].index(place.kind))
    looks = {run: (style.PALETTE[i % len(style.PALETTE)], DASHES[i // len(style.PALETTE) % len(DASHES)]) for i, run in enumerate(runs)}  # fmt: skip
    figure, axes = style.panels(len(places) * len(MEASURES), 2.9, 2.1, columns=len(MEASURES))
    for i, axis in enumerate(axes):
        kind, family = places[i // len(MEASURES)]
        metric, (name, factor) = list(MEASURES.items())[i % len(MEASURES)]
        rows = found[(found["kind"] == kind) & (found["family"] == family) & (found["metric"] == metric)]
        _panel(axis, rows.assign(value=factor * rows["value"]), kind, looks, runs)
        axis.set(xlabel=AXES[kind], ylabel=name)
        names = {SITE: "sites", ATTACK: family.upper(), CORRUPTION: family.replace("_", " ")}
        axis.set_title(names[kind])
    handles, labels = axes[0].get_legend_handles_labels()
    for axis in axes:
        axis.get_legend().remove()
    style.legend_below(figure, handles, [style.short(label, 32) for label in labels])
    style.headline(figure, title)
    return figure


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of this kind of figure."""
    command.add_argument("--shift", type=Path, required=True, help="shift.csv of the experiment")


def figure(args: argparse.Namespace) -> Figure:
    """Shift of all runs of one data set and backbone; seeds of a regime are one line with a band.

    Raises:
        UserError: if shift.csv has no row of one of the runs.
    """
    panels = Panels(args.records)
    names = dict(zip((tuple(run[key] for key in KEYS) for run in panels.runs), panels.labels, strict=True))
    shift = pd.read_csv(args.shift, dtype=dict.fromkeys(KEYS[:4], str), keep_default_na=False, na_values={"value": ["", "nan"], "test": ["", "nan"], "level": [""]})  # fmt: skip
    shift["run"] = [names.get(key) for key in shift[KEYS].itertuples(index=False, name=None)]
    shift = shift[shift["run"].notna()]
    if missing := set(names.values()) - set(shift["run"]):
        raise UserError(f"{args.shift} has no rows of {sorted(missing)[0]}; run `calibench shift` again")
    title = panels.titled("away from the test images", "mean and range over seeds")
    return draw(shift, list(dict.fromkeys(panels.labels)), title)
