"""Mean output probabilities of the images of each class (LS++ paper, figure 4)."""

import argparse

import numpy as np
from matplotlib.figure import Figure

from calibench.figures import matrix
from calibench.figures.panels import Panels, add_classes, class_names
from calibench.finished.read import read_part, read_training
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
    command.add_argument("--split", default="test", choices=["select", "calibrate", "test", "train"])
    command.add_argument("--checkpoint", default="top1")


def figure(args: argparse.Namespace) -> Figure:
    """Mean output probabilities of each class, a heat map per run."""
    panels, labels = Panels(args.records), class_names(args)
    means = {}
    for title, folder in panels.by_title():
        read = read_training(folder, args.checkpoint) if args.split == "train" else None
        logits, index = read or read_part(folder, args.checkpoint, args.split)
        means[title] = class_means(logits, index["target"].to_numpy(), len(labels))
    what = f"mean output probabilities of each class, {args.split}, checkpoint {args.checkpoint}"
    return matrix.draw(means, labels, panels.titled(what), what="mean output")
