"""Errors over the epochs of runs with wrong training labels, a column of panels per rate (Zhang et al. 2021, figures 4, 5)."""

import argparse

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from calibench.figures import style
from calibench.figures.panels import Panels, add_runs
from calibench.finished.read import read_history, read_record
from calibench.regimes.catalog import label

PANELS = {  # column of the frame: title of the panel
    "training": "training error, labels as given",
    "test": "test error",
    "validation": "validation error",
    "on_wrong": "error on images with wrong labels, against these",
    "clean": "error on images with right labels",
}


def noise_of(settings: dict) -> str:
    """What noise a run has, for the head of a column: ``20 %``, ``40 %, pair``, or its file's name."""
    data = settings["data"]
    kind = data.get("noise", "symmetric")
    if kind not in ("symmetric", "pair"):
        return kind.rpartition("/")[2]
    return f"{100 * data['label_noise']:g} %" + ("" if kind == "symmetric" else f", {kind}")


def without_noise(run: str, noisy: list[str]) -> str:
    """A run's name without the variants that give it its noise."""
    regime, *variants = run.split("+")
    return "+".join([regime, *(token for token in variants if token not in noisy)])


def errors(history: pd.DataFrame) -> pd.DataFrame:
    """Columns of :data:`PANELS` that a history has, in per cent."""
    found = pd.DataFrame({"training": 1 - history["train_top1"], "validation": 1 - history["val_top1"]})
    if "test_top1" in history:
        found["test"] = 1 - history["test_top1"]
    if "flipped_fitted" in history:
        found["on_wrong"], found["clean"] = 1 - history["flipped_fitted"], history["clean_error"]
    return 100 * found


def draw(values: pd.DataFrame, looks: dict[str, style.Look], title: str) -> Figure:
    """A row of panels per column of :data:`PANELS` that any run has, a column of them per noise.

    Args:
        values: columns noise, run (label without the noise), seed, epoch and those of :data:`PANELS`, in per cent.
        looks: how each run is drawn.
        title: what data and model these are.
    """
    noises = list(dict.fromkeys(values["noise"]))
    rows = [c for c in PANELS if c in values and values[c].notna().any()]
    rows = [c for c in rows if c != "validation" or "test" not in rows]
    figure, axes = style.panels(len(rows) * len(noises), 2.9, 2.3, columns=len(noises))
    for i, axis in enumerate(axes):
        column, noise = rows[i // len(noises)], noises[i % len(noises)]
        style.lines(axis, values[values["noise"] == noise], "epoch", column, looks)
        style.head(axis, f"noise {noise}: {PANELS[column]}")
        axis.set(xlabel="epoch", ylabel="%")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.finish(figure, style.entries(looks), title)
    return figure


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of this kind of figure."""
    add_runs(command)
    command.add_argument("--variants", default="", help="variants that give a run its noise, by commas")


def figure(args: argparse.Namespace) -> Figure:
    """Errors over the epochs for each rate of noise."""
    panels, noisy, frames = Panels(args), args.variants.split(","), []
    names = [without_noise(run, noisy) for run in panels.names]
    for folder, run, name in zip(panels.folders, panels.runs, names, strict=True):
        history, noise = read_history(folder), noise_of(read_record(folder)["settings"])
        more = {"epoch": history["epoch"], "seed": run["seed"], "noise": noise, "run": label(name)}
        frames.append(errors(history).assign(**more))
    listed = [without_noise(run, noisy) for run in args.runs.split(",")] if args.runs else []
    looks = style.looks(list(dict.fromkeys([*listed, *names])))
    wanted = {label(name): looks[name] for name in names}
    return draw(pd.concat(frames, ignore_index=True), wanted, panels.titled("training with wrong labels"))
