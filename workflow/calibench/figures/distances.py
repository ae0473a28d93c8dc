"""Distances between the centres of the classes in feature space (LS++ paper, figure 5, lower row)."""

import argparse

import numpy as np
from matplotlib.figure import Figure

from calibench.figures import matrix
from calibench.figures.panels import Panels, add_classes, class_names
from calibench.finished.read import read_features

add_options = add_classes


def centre_distances(features: np.ndarray, targets: np.ndarray, k: int) -> np.ndarray:
    """Cosine distances (K, K) between class centres, each row divided by its sum (L1); NaN for a class without images.

    The diagonal is zero, so that evenly spaced classes have 1/(K-1) everywhere else.
    """
    sums = np.zeros((k, features.shape[1]))
    np.add.at(sums, targets, features.astype(np.float64))
    empty = np.bincount(targets, minlength=k) == 0
    centres = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-300)
    distances = np.clip(1 - centres @ centres.T, 0, None)
    np.fill_diagonal(distances, 0)
    distances[empty] = distances[:, empty] = np.nan
    totals = np.nansum(distances, axis=1, keepdims=True)
    return np.divide(distances, totals, out=np.full((k, k), np.nan), where=totals > 0)


def figure(args: argparse.Namespace) -> Figure:
    """Distances between class centres of penultimate features, a heat map per run, all on one scale."""
    panels, labels = Panels(args), class_names(args)
    maps = []
    for title, folder in panels.by_title():
        features, index = read_features(folder, "train")
        found = centre_distances(features, index["target"].to_numpy(), len(labels))
        values = matrix.off_diagonal(found)
        maps.append(
            matrix.Map(title, found, f"deviation / mean {np.nanstd(values) / np.nanmean(values):.3f}")
        )
    title = panels.titled("distances between class centres, training images")
    return matrix.draw(maps, labels, title, "cosine distance, rows sum to 1", "class", shared=True, log=False)
