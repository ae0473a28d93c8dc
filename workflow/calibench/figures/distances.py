"""Distances between the centres of the classes in feature space (LS++ paper, figure 5, lower row)."""

import argparse

import numpy as np
from matplotlib.figure import Figure

from calibench.figures import style
from calibench.figures.matrix import maps, ticks
from calibench.figures.panels import Panels, add_classes, add_feature_split, class_names, images_of
from calibench.finished.read import read_features


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


def draw(matrices: dict[str, np.ndarray], labels: list[str], title: str) -> Figure:
    """Heat map per run, one linear colour scale, diagonal left out; how uneven a map is stands in its head.

    Args:
        matrices: panel title → :func:`centre_distances`.
        labels: K class names.
        title: what data and model these are.
    """
    k = len(labels)
    off = ~np.eye(k, dtype=bool)
    values = np.concatenate([m[off] for m in matrices.values()])
    low, high = np.nanmin(values), np.nanmax(values)
    figure, axes = maps(len(matrices), labels)
    colours = style.plt.get_cmap("viridis").with_extremes(bad="#BBBBBB")
    image = None
    for axis, (head, matrix) in zip(axes, matrices.items(), strict=True):
        shown = np.ma.masked_invalid(np.where(off, matrix, np.nan))
        image = axis.imshow(
            shown, vmin=low, vmax=high, cmap=colours, interpolation="nearest", rasterized=True
        )
        spread = np.nanstd(matrix[off]) / np.nanmean(matrix[off])
        axis.set_title(f"{style.short(head, 28)}\ndeviation over mean {spread:.3f}", fontsize=9)
        ticks(axis, labels, "class", "class")
        for spine in axis.spines.values():
            spine.set_visible(False)
    figure.colorbar(image, ax=axes).set_label("cosine distance of centres, rows sum to 1")
    style.headline(figure, title)
    return figure


def add_options(command: argparse.ArgumentParser) -> None:
    """Options of this kind of figure."""
    add_classes(command)
    add_feature_split(command)


def figure(args: argparse.Namespace) -> Figure:
    """Distances between class centres of penultimate features, a heat map per run."""
    panels, labels = Panels(args.records), class_names(args)
    matrices = {}
    for title, folder in panels.by_title():
        features, index = read_features(folder, args.split)
        matrices[title] = centre_distances(features, index["target"].to_numpy(), len(labels))
    return draw(matrices, labels, panels.titled(f"distances between class centres, {images_of(args.split)}"))
