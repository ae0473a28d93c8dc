"""Mean output probabilities of the images of each class (LS++ paper, figure 4)."""

import argparse

import numpy as np
from matplotlib.figure import Figure

from calibench.figures import matrix
from calibench.figures.panels import Panels, add_runs_and_classes, class_names
from calibench.finished.read import read_training
from calibench.metrics.probabilities import Predictions, softmax


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of this kind of figure."""
    add_runs_and_classes(command)
    command.add_argument("--of", default="test", choices=["test", "train"], help="which images")


def class_means(logits: np.ndarray, targets: np.ndarray, k: int) -> np.ndarray:
    """(K, K) float64: row y is the mean of softmax over the images of class y; NaN where it has none."""
    sums = np.zeros((k, k))
    np.add.at(sums, targets, softmax(logits))
    counts = np.bincount(targets, minlength=k)[:, None]
    return np.divide(sums, counts, out=np.full((k, k), np.nan), where=counts > 0)


def figure(args: argparse.Namespace) -> Figure:
    """Mean output probabilities of each class, a heat map per run, all on one scale."""
    panels, labels = Panels(args), class_names(args)
    training = args.of == "train"
    seen = _training(panels, args.checkpoint) if training else panels.predictions(args.checkpoint)
    means = [class_means(one.scores, one.targets, len(labels)) for one in seen]
    mass = [np.nansum(matrix.off_diagonal(m)) / np.isfinite(m[:, 0]).sum() for m in means]
    maps = [
        matrix.Map(title, m, f"off-diagonal mass {value:.3f}")
        for title, m, value in zip(panels.titles, means, mass, strict=True)
    ]
    title = panels.titled(
        "mean output probabilities of each class",
        "training images" if training else "test images",
        f"checkpoint {args.checkpoint}",
    )
    return matrix.draw(maps, labels, title, "mean probability", "class of the output", shared=True)


def _training(panels: Panels, checkpoint: str) -> list[Predictions]:
    """Predictions of each run on its training images, against their true classes."""
    found = []
    for folder in panels.folders:
        logits, index = read_training(folder, checkpoint)
        found.append(Predictions.of(logits, index["target"].to_numpy(), f"{folder} (training)"))
    return found
