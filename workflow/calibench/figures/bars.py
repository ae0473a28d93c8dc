"""The soft label of one class under each regime (Zhang et al. 2021, figure 1)."""

import argparse

import numpy as np
from matplotlib.figure import Figure

from calibench.errors import UserError
from calibench.figures import style
from calibench.figures.panels import Panels, add_checkpoint, add_classes, add_runs, class_names
from calibench.finished.read import read_part
from calibench.finished.regime import load_regime

LABEL_LIMIT = 20
FLOOR = 1e-5  # bars start here: a log axis has no zero


def draw(
    rows: dict[str, np.ndarray], colours: list[str], labels: list[str], target: int, title: str
) -> Figure:
    """A panel per regime: probability of each class in the training target, log scale; the own class in colour.

    Args:
        rows: panel title → soft label (K,).
        colours: colour of each run.
        labels: K class names; written out for K ≤ 20, else the classes are numbers.
        target: number of the class whose label it is.
        title: what data and model these are.
    """
    k, few = len(labels), len(labels) <= LABEL_LIMIT
    names = [style.short(name, 18) for name in labels]
    figure, axes = style.panels(len(rows), 3.0, 2.3 + 0.06 * max(map(len, names)) * few, columns=3)
    for axis, colour, (head, row) in zip(axes, colours, rows.items(), strict=True):
        shades = [colour if i == target else "#A8A8A8" for i in range(k)]
        axis.bar(range(k), np.maximum(row, FLOOR), color=shades, width=0.8 if few else 1.0)
        axis.set(yscale="log", ylim=(FLOOR, 1.5), xlim=(-0.6, k - 0.4), ylabel="probability in label")
        style.log_ticks(axis.yaxis)
        others = np.delete(row, target)
        low, high = f"{others.min():.2g}", f"{others.max():.2g}"
        numbers = f"own {row[target]:.3f}, others {low}" + (f" to {high}" if low != high else " each")
        style.head(axis, style.short(head, 28), numbers)
        if few:
            axis.set_xticks(range(k), names, rotation=90 if max(map(len, names)) > 2 else 0)
        else:
            axis.set_xlabel("class (number)")
    style.headline(figure, f"{title}: label of '{style.short(labels[target], 40)}'")
    return figure


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of this kind of figure."""
    add_runs(command)
    add_classes(command)
    command.add_argument("--class", dest="class_name", help="name of the class (default: the most confused)")
    add_checkpoint(command)


def figure(args: argparse.Namespace) -> Figure:
    """Soft label of one class; runs whose regime has no label of a class are left out.

    Raises:
        UserError: if no run has one, or there is no class of that name.
    """
    panels, labels = Panels(args), class_names(args)
    target = _class_shown(args, panels, labels)
    rows, colours = {}, []
    for name, (title, folder) in zip(panels.labels, panels.by_title(), strict=True):
        soft = load_regime(folder, len(labels)).class_targets()
        if soft is not None:
            rows[title] = soft[target].double().numpy()
            colours.append(panels.looks[name][0])
    if not rows:
        raise UserError(
            "bars: no run has a soft label of a class (hard, ls, ols and the like); leave it out of figures.extra"
        )
    return draw(rows, colours, labels, target, panels.titled("training targets after the last epoch"))


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
