"""The soft label of one class under each regime (Zhang et al. 2021, figure 1)."""

import argparse

import numpy as np
from matplotlib.figure import Figure

from calibench.errors import UserError
from calibench.figures import style
from calibench.figures.panels import Panels, add_runs_and_classes, class_names
from calibench.finished.read import read_part
from calibench.finished.regime import load_regime

LABEL_LIMIT = 20
FLOOR = 1e-5  # bars start here: a log axis has no zero


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of this kind of figure."""
    add_runs_and_classes(command)
    command.add_argument("--class", dest="class_name", help="name of the class (default: the most confused)")


def figure(args: argparse.Namespace) -> Figure:
    """A panel per regime: probability of each class in the training target, log scale; the own class in colour.

    Runs whose regime has no label of a class are left out.

    Raises:
        UserError: if no run has one, or there is no class of that name.
    """
    panels, labels = Panels(args), class_names(args)
    target, k = _class_shown(args, panels, labels), len(labels)
    soft = [load_regime(folder, k).class_targets() for folder in panels.folders]
    shown = [i for i, label in enumerate(soft) if label is not None]
    if not shown:
        raise UserError(
            "bars: no run has a soft label of a class (hard, ls, ols and the like); leave it out of figures.extra"
        )
    few, names = k <= LABEL_LIMIT, [style.short(name, 18) for name in labels]
    longest = max(map(len, names))
    drawn, axes = style.panels(len(shown), 3.0, 2.3 + 0.06 * longest * few)
    for axis, i in zip(axes, shown, strict=True):
        row = soft[i][target].double().numpy()
        colours = np.where(np.arange(k) == target, panels.looks[panels.labels[i]].colour, "#A8A8A8")
        axis.bar(range(k), np.maximum(row, FLOOR), color=colours, width=0.8 if few else 1.0)
        axis.set(yscale="log", ylim=(FLOOR, 1.5), xlim=(-0.6, k - 0.4), ylabel="probability in label")
        style.log_ticks(axis.yaxis)
        others = np.delete(row, target)
        low, high = f"{others.min():.2g}", f"{others.max():.2g}"
        numbers = f"own {row[target]:.3f}, others {low}" + (f" to {high}" if low != high else " each")
        style.head(axis, style.short(panels.titles[i], 28), numbers)
        if few:
            axis.set_xticks(range(k), names, rotation=90 if longest > 2 else 0)
        else:
            axis.set_xlabel("class (number)")
    title = panels.titled("training targets after the last epoch")
    style.headline(drawn, f"{title}: label of '{style.short(labels[target], 40)}'")
    return drawn


def _class_shown(args: argparse.Namespace, panels: Panels, labels: list[str]) -> int:
    """The class asked for, else the one whose test images the first run takes most for one other class."""
    if args.class_name is not None:
        if args.class_name not in labels:
            raise UserError(
                f"figures.class: there is no class '{args.class_name}'; there are: {', '.join(labels[:20])}"
            )
        return labels.index(args.class_name)
    logits, index = read_part(panels.folders[0], args.checkpoint, "test")
    confused = np.zeros((len(labels), len(labels)))
    np.add.at(confused, (index["target"].to_numpy(), logits.argmax(axis=1)), 1)
    shares = confused / np.maximum(confused.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(shares, 0)
    return int(shares.max(axis=1).argmax())
