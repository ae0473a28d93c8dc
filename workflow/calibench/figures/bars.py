"""The soft label of one class under each regime (Zhang et al. 2021, figure 1)."""

import argparse

import numpy as np
from matplotlib.figure import Figure

from calibench.errors import UserError
from calibench.figures import style
from calibench.figures.panels import Panels, add_classes, class_names
from calibench.finished.read import read_part
from calibench.finished.regime import load_regime

LABEL_LIMIT = 20
FLOOR = 1e-5  # bars start here: a log axis has no zero


def draw(rows: dict[str, np.ndarray], labels: list[str], target: int, title: str) -> Figure:
    """A panel per regime: probability of each class in the training target, log scale; the own class in colour.

    Args:
        rows: panel title → soft label (K,).
        labels: K class names; written out for K ≤ 20, else the classes are indices.
        target: index of the class whose label it is.
        title: what data and model these are.
    """
    k, few = len(labels), len(labels) <= LABEL_LIMIT
    width = min(max(3.0, 0.28 * k), 4.2) if few else 4.2
    names = 0.07 * min(max(map(len, labels)), 18) if few else 0.3
    figure, axes = style.panels(len(rows), width, 2.6 + names, columns=3 if few else 2)
    colours = [style.PALETTE[1] if i == target else style.PALETTE[0] for i in range(k)]
    for axis, (head, row) in zip(axes, rows.items(), strict=True):
        axis.bar(range(k), np.maximum(row, FLOOR), color=colours, width=0.8 if few else 1.0)
        axis.set(yscale="log", ylim=(FLOOR, 1.5), xlim=(-0.6, k - 0.4))
        style.log_ticks(axis.yaxis)
        others = np.delete(row, target)
        numbers = f"own class {row[target]:.3f}\nothers {others.min():.2g} to {others.max():.2g}"
        axis.set_title(f"{style.short(head, 28)}\n{numbers}", fontsize=9)
        axis.set_ylabel("probability in label")
        if few:
            axis.set_xticks(range(k), [style.short(name, 18) for name in labels], rotation=90)
        else:
            axis.set_xlabel("class (index)")
    style.headline(figure, f"{title}: label of '{style.short(labels[target], 40)}'")
    return figure


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of this kind of figure."""
    add_classes(command)
    command.add_argument("--class", dest="class_name", help="name of the class (default: the most confused)")
    command.add_argument("--checkpoint", default="top1")


def figure(args: argparse.Namespace) -> Figure:
    """Soft label of one class; runs whose regime has no label of a class are left out.

    Raises:
        UserError: if no run has one, or there is no class of that name.
    """
    panels, labels = Panels(args.records), class_names(args)
    target = _class_shown(args, panels, labels)
    rows = {}
    for title, folder in panels.by_title():
        soft = load_regime(folder, len(labels)).class_targets()
        if soft is not None:
            rows[title] = soft[target].double().numpy()
    if not rows:
        raise UserError(
            "bars: no run has a soft label of a class (hard, ls, ols and the like); leave it out of figures.extra"
        )
    return draw(rows, labels, target, panels.titled("training targets after the last epoch"))


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
