"""Errors over the epochs of runs with wrong training labels, a column of panels per rate (Zhang et al. 2021, figures 4, 5)."""

import argparse

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from calibench.figures import style
from calibench.figures.panels import Panels
from calibench.finished.read import read_history, read_record
from calibench.regimes.catalog import label

PANELS = {  # column of the frame: axis label
    "training": "training error, labels as given (%)",
    "test": "test error (%)",
    "validation": "validation error (%)",
    "on_wrong": "error on images with wrong\nlabels, against these (%)",
    "clean": "error on images with\nright labels (%)",
}


def noise_of(settings: dict) -> str:
    """What noise a run has, for the head of a column: ``20 %``, ``40 %, pair``, or its file's name."""
    data = settings["data"]
    kind = data.get("noise", "symmetric")
    if kind not in ("symmetric", "pair"):
        return kind.rpartition("/")[2]
    return f"{100 * data['label_noise']:g} %" + ("" if kind == "symmetric" else f", {kind}")


def name_of(run: dict, noisy: list[str]) -> str:
    """Label of a run without the variants that give it its noise."""
    kept = [token for token in run["variant"].split("+")[1:] if token not in noisy]
    return label("+".join([run["regime"], *kept]))


def errors(history: pd.DataFrame) -> pd.DataFrame:
    """Columns of :data:`PANELS` that a history has, in per cent."""
    found = pd.DataFrame({"training": 1 - history["train_top1"], "validation": 1 - history["val_top1"]})
    if "test_top1" in history:
        found["test"] = 1 - history["test_top1"]
    if "flipped_fitted" in history:
        found["on_wrong"], found["clean"] = 1 - history["flipped_fitted"], history["clean_error"]
    return 100 * found


def draw(values: pd.DataFrame, title: str) -> Figure:
    """A row of panels per column of :data:`PANELS` that any run has, a column per noise; bands over seeds are one deviation.

    Args:
        values: columns noise, name, seed, epoch and those of :data:`PANELS`, in per cent.
        title: what data and model these are.
    """
    noises, names = (list(dict.fromkeys(values[key])) for key in ("noise", "name"))
    rows = [c for c in PANELS if c in values and values[c].notna().any()]
    rows = [c for c in rows if c != "validation" or "test" not in rows]
    colours = {name: style.look(i)[0] for i, name in enumerate(names)}
    figure, axes = style.panels(len(rows) * len(noises), 2.9, 2.4, columns=len(noises))
    for i, axis in enumerate(axes):
        column, noise = rows[i // len(noises)], noises[i % len(noises)]
        part = values[values["noise"] == noise]
        sns.lineplot(
            part, x="epoch", y=column, hue="name", hue_order=names, palette=colours, errorbar=("sd", 1), ax=axis, lw=1.2
        )  # fmt: skip
        axis.get_legend().remove()
        axis.set(xlabel="epoch", ylabel=PANELS[column])
        if i < len(noises):
            axis.set_title(f"noise {noise}", fontsize=9)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(axis="y", color="#DDDDDD", linewidth=0.5)
    handles = [axes[0].plot([], [], color=colours[name])[0] for name in names]
    style.legend_below(figure, handles, names)
    style.headline(figure, title)
    return figure


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of this kind of figure."""
    command.add_argument("--variants", nargs="*", default=[], help="variants that give a run its noise")


def figure(args: argparse.Namespace) -> Figure:
    """Errors over the epochs for each rate of noise."""
    panels, frames = Panels(args.records), []
    for folder, run in zip(panels.folders, panels.runs, strict=True):
        history = read_history(folder)
        noise, name = noise_of(read_record(folder)["settings"]), name_of(run, args.variants)
        frames.append(
            errors(history).assign(epoch=history["epoch"], seed=run["seed"], noise=noise, name=name)
        )
    return draw(pd.concat(frames, ignore_index=True), panels.titled("training with wrong labels"))
