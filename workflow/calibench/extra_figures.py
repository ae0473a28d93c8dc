"""The figures of ``figures: extra``: what was learned about classes, from the files of finished runs."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench.catalog import label
from calibench.errors import UserError
from calibench.evaluate import PARTS, read_index, read_logits
from calibench.figures import heads, identities, read_classes, read_features, read_history, titled
from calibench.files import read_json
from calibench.softlabels import soft_labels


def _split_logits(path: Path, checkpoint: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    file = next(name for name, parts in PARTS.items() if split in parts)
    index = read_index(path / "predictions" / f"{file}.csv")
    mask = (index["part"] == split).to_numpy()
    logits = read_logits(path, checkpoint, file, len(index))[mask]
    return logits, index["target"].to_numpy()[mask]


def draw_entropy(args: argparse.Namespace) -> Any:
    """Entropy of the learned matrices over the epochs."""
    from calibench.plots import entropy

    found = identities(args.run_dirs)
    frames = [
        read_history(path).assign(run=label(entry["regime"] + entry["variant"]), seed=entry["seed"])
        for path, entry in zip(args.run_dirs, found, strict=True)
    ]
    history = pd.concat(frames, ignore_index=True)
    if "matrix_entropy" in history:
        history = history.dropna(subset=["matrix_entropy"])
    if "matrix_entropy" not in history or history.empty:
        raise UserError(
            f"{args.run_dirs[0]}: no matrix_entropy in history.jsonl; this figure is for regimes that learn a matrix"
        )
    return entropy.draw(
        history, len(read_classes(args.classes)), titled(found, "learned matrices over the epochs")
    )


def draw_bars(args: argparse.Namespace) -> Any:
    """Soft-label bars of one class; runs whose regime has no label of a class are left out."""
    from safetensors.numpy import load_file

    from calibench.plots import bars

    found, labels = identities(args.run_dirs), list(read_classes(args.classes))
    target = _class_shown(args, labels)
    rows = {}
    for path, entry, head in zip(args.run_dirs, found, heads(found), strict=True):
        settings = read_json(path / "run.json")["settings"]["regime"]
        soft = soft_labels(entry["regime"], settings, load_file(path / "regime.safetensors"), len(labels))
        if soft is not None:
            rows[head] = soft[target]
    if not rows:
        raise UserError(
            "bars: none of the runs has a soft label of a class (hard, ls, ols and the like); leave it out of figures: extra"
        )
    return bars.draw(rows, labels, target, titled(found, "training targets after the last epoch"))


def _class_shown(args: argparse.Namespace, labels: list[str]) -> int:
    """The class asked for, else the one whose test images the first run takes most for one other class."""
    if args.class_name is not None:
        if args.class_name not in labels:
            raise UserError(
                f"figures: class: there is no class '{args.class_name}'; there are: {', '.join(labels[:20])}"
            )
        return labels.index(args.class_name)
    logits, targets = _split_logits(args.run_dirs[0], args.checkpoint, "test")
    confused = np.zeros((len(labels), len(labels)))
    np.add.at(confused, (targets, logits.argmax(axis=1)), 1)
    shares = confused / np.maximum(confused.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(shares, 0)
    return int(shares.max(axis=1).argmax())


def draw_classmeans(args: argparse.Namespace) -> Any:
    """Class-wise mean output probabilities."""
    from calibench.plots import classmeans, matrix

    found, labels = identities(args.run_dirs), list(read_classes(args.classes))
    means = {}
    for path, head in zip(args.run_dirs, heads(found), strict=True):
        logits, targets = _split_logits(path, args.checkpoint, args.split)
        means[head] = classmeans.class_means(logits, targets, len(labels))
    what = titled(
        found, f"mean output probabilities of each class, {args.split}, checkpoint {args.checkpoint}"
    )
    return matrix.draw(means, labels, what, what="mean output")


def draw_distances(args: argparse.Namespace) -> Any:
    """Distances between class centres of penultimate features."""
    from calibench.plots import distances

    found, labels = identities(args.run_dirs), list(read_classes(args.classes))
    matrices = {}
    for path, head in zip(args.run_dirs, heads(found), strict=True):
        features, index = read_features(path, args.split)
        matrices[head] = distances.centre_distances(features, index["target"].to_numpy(), len(labels))
    what = "training images" if args.split == "train" else f"{args.split} images"
    return distances.draw(matrices, labels, titled(found, f"distances between class centres, {what}"))
