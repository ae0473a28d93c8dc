"""How error and calibration change away from the test images: by severity, by bound of an attack, by site."""

import argparse
from pathlib import Path

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calibench.errors import UserError
from calibench.figures import style
from calibench.figures.panels import Panels, add_runs
from calibench.finished.names import KEYS
from calibench.finished.sets import ATTACK, CORRUPTION, SITE
from calibench.metrics.labels import METRICS
from calibench.tables.shift import read_shift

MEASURES = ("top1_error", "ece", "nll")
MEAN = "mean of all corruptions"
MOST = 4  # kinds of corruption that have a row each; of more, ECE alone is shown
AXES = {CORRUPTION: "severity (0: test images)", ATTACK: "bound in grey levels (0: test images)", SITE: ""}


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


def places(found: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Kind, family and measure of each panel, three to a row: sites, the mean corruption, attacks, each corruption."""
    groups = list(found[["kind", "family"]].drop_duplicates().itertuples(index=False, name=None))
    single = [group for group in groups if group[0] == CORRUPTION and group[1] != MEAN]
    rows = [g for kind in (SITE, CORRUPTION, ATTACK) for g in groups if g[0] == kind and g not in single]
    shown = MEASURES if len(single) <= MOST else ("ece",)
    return [(*g, m) for g in rows for m in MEASURES] + [(*g, m) for g in single for m in shown]


def _panel(axis: Axes, rows: pd.DataFrame, kind: str, looks: dict[str, style.Look]) -> None:
    """Lines over levels, or points at sites; bands and bars reach from the lowest to the highest seed."""
    if kind == SITE:
        sns.pointplot(
            rows,
            x="x",
            y="shown",
            hue="run",
            palette={run: look.colour for run, look in looks.items()},
            errorbar=("pi", 100),
            dodge=0.4,
            linestyle="none",
            markersize=4,
            err_kws={"linewidth": 1},
            legend=False,
            ax=axis,
        )
        axis.grid(axis="y")
        return
    rows = rows.assign(x=rows["x"].astype(float))
    style.lines(axis, rows, "x", "shown", looks)
    for run, part in rows.groupby("run", sort=False):
        means = part.groupby("x")["shown"].mean()
        axis.plot(means.index, means, "o", ms=3, color=looks[run].colour)
    axis.set_xticks(sorted(rows["x"].unique()))
    axis.xaxis.set_major_formatter("{x:g}")


def draw(shift: pd.DataFrame, looks: dict[str, style.Look], title: str) -> Figure:
    """Panels of :func:`places`: error, ECE and NLL across.

    Args:
        shift: rows of :mod:`calibench.tables.shift` of one data set and backbone, with a column ``run`` (its label).
        looks: how each run is drawn, in the order of the legend.
        title: what data and model these are.
    """
    found = points(shift)
    wanted = places(found)
    figure, axes = style.panels(len(wanted), 3.0, 2.3, columns=len(MEASURES))
    for axis, (kind, family, metric) in zip(axes, wanted, strict=True):
        name, factor, _ = METRICS[metric]
        rows = found[(found["kind"] == kind) & (found["family"] == family) & (found["metric"] == metric)]
        _panel(axis, rows.assign(shown=factor * rows["value"]), kind, looks)
        axis.set(xlabel=AXES[kind], ylabel=name)
        style.head(axis, {SITE: "sites", ATTACK: family.upper(), CORRUPTION: family.replace("_", " ")}[kind])
    style.finish(figure, style.entries(looks), title)
    return figure


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of this kind of figure."""
    add_runs(command)
    command.add_argument("--shift", type=Path, required=True, help="shift.csv of the experiment")


def figure(args: argparse.Namespace) -> Figure:
    """Shift of all runs of one data set and backbone; seeds of a regime are one line with a band.

    Raises:
        UserError: if shift.csv has no row of one of the runs.
    """
    panels = Panels(args)
    names = dict(zip((tuple(run[key] for key in KEYS) for run in panels.runs), panels.labels, strict=True))
    shift = read_shift(args.shift)
    shift["run"] = [names.get(key) for key in shift[KEYS].itertuples(index=False, name=None)]
    shift = shift[shift["run"].notna() & (shift["checkpoint"] == args.checkpoint)]
    if missing := set(names.values()) - set(shift["run"]):
        raise UserError(f"{args.shift} has no rows of {sorted(missing)[0]}; run `calibench shift` again")
    return draw(shift, panels.looks, panels.titled("away from the test images"))
