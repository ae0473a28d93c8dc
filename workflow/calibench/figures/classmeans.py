"""Mean output probabilities of the images of each class (LS++ paper, figure 4)."""

import argparse

import numpy as np
from matplotlib.figure import Figure

from calibench.figures import matrix
from calibench.figures.panels import Panels, add_checkpoint, add_classes, class_names, images_of
from calibench.metrics.probabilities import softmax


def class_means(logits: np.ndarray, targets: np.ndarray, k: int) -> np.ndarray:
    """(K, K) float64: row y is the mean of softmax over the images of class y; NaN where it has none."""
    sums = np.zeros((k, k))
    np.add.at(sums, targets, softmax(logits))
    counts = np.bincount(targets, minlength=k)[:, None]
    return np.divide(sums, counts, out=np.full((k, k), np.nan), where=counts > 0)


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of this kind of figure."""
    add_classes(command)
    command.add_argument("--split", default="test", choices=["select", "calibrate", "test"])
    add_checkpoint(command)


def figure(args: argparse.Namespace) -> Figure:
    """Mean output probabilities of each class, a heat map per run, all on one scale."""
    panels, labels = Panels(args), class_names(args)
    seen = zip(panels.titles, panels.predictions(args), strict=True)
    means = {title: class_means(one.scores, one.targets, len(labels)) for title, one in seen}
    mass = {
        title: np.nansum(matrix.off_diagonal(m)) / np.isfinite(m[:, 0]).sum() for title, m in means.items()
    }
    notes = {title: f"off-diagonal mass {value:.3f}" for title, value in mass.items()}
    what = f"mean output probabilities of each class, {images_of(args.split)}, checkpoint {args.checkpoint}"
    return matrix.draw(
        means, labels, panels.titled(what), "mean probability", "class of the output", notes, shared=True
    )
