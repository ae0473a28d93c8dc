"""What the panels of a figure are: runs of one data set and backbone, their titles, and what is read of them."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench.backbones.names import backbone_label
from calibench.data.stored import read_classes
from calibench.errors import UserError
from calibench.finished.read import read_history, read_keys, read_part
from calibench.metrics.probabilities import Predictions
from calibench.regimes.catalog import label


class Panels:
    """The runs of a figure, in the order given; all are of one data set and backbone, and none comes twice.

    Args:
        records: ``run.json`` of each run.

    Raises:
        UserError: otherwise.
    """

    def __init__(self, records: Sequence[Path]) -> None:
        self.folders = [record.parent for record in records]
        self.runs = [read_keys(folder) for folder in self.folders]
        for folder, run in zip(self.folders, self.runs, strict=True):
            if any(run[key] != self.runs[0][key] for key in ("dataset", "backbone")):
                raise UserError(
                    f"{folder} has another dataset or backbone than {self.folders[0]}; draw one figure for each"
                )
            if self.runs.count(run) > 1:
                raise UserError(f"{folder} is given twice (same regime, variant and seed)")

    @property
    def labels(self) -> list[str]:
        """Label of each run's regime and variants."""
        return [label(run["regime"] + run["variant"]) for run in self.runs]

    @property
    def titles(self) -> list[str]:
        """Titles of the panels: the label, with the seed where a label comes with several."""
        labels = self.labels
        return [
            name if labels.count(name) == 1 else f"{name}, seed {run['seed']}"
            for name, run in zip(labels, self.runs, strict=True)
        ]

    def titled(self, *more: str) -> str:
        """Title of the figure: data set, backbone, and what else it shows."""
        return ", ".join([self.runs[0]["dataset"], backbone_label(self.runs[0]["backbone"]), *more])

    def by_title(self) -> list[tuple[str, Path]]:
        """Title and folder of each run."""
        return list(zip(self.titles, self.folders, strict=True))

    def history(self) -> pd.DataFrame:
        """Histories of all runs, with the columns ``run`` (label) and ``seed``."""
        frames = [
            read_history(folder).assign(run=name, seed=run["seed"])
            for folder, name, run in zip(self.folders, self.labels, self.runs, strict=True)
        ]
        return pd.concat(frames, ignore_index=True)


def add_predictions(command: argparse.ArgumentParser) -> None:
    """Options of a figure that is drawn from predictions."""
    command.add_argument("--split", default="test", choices=["select", "calibrate", "test"])
    command.add_argument("--checkpoint", default="top1")


def add_classes(command: argparse.ArgumentParser) -> None:
    """Option of a figure that names classes."""
    command.add_argument("--classes", type=Path, required=True, help="classes.csv of the data set")


def add_feature_split(command: argparse.ArgumentParser) -> None:
    """Option of a figure that is drawn from features."""
    command.add_argument("--split", default="train", choices=["train", "val", "test"])


def class_names(args: argparse.Namespace) -> list[str]:
    """Names of the K classes."""
    return list(read_classes(args.classes))


def images_of(split: str) -> str:
    """``training images`` or ``test images``."""
    return "training images" if split == "train" else f"{split} images"


def confidences(args: argparse.Namespace) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], str]:
    """Panel title → (confidence (N,), correct (N,)) on one part and checkpoint, and the figure's title."""
    panels = Panels(args.records)
    found: dict[str, Any] = {}
    for title, folder in panels.by_title():
        logits, index = read_part(folder, args.checkpoint, args.split)
        seen = Predictions.of(logits, index["target"].to_numpy(), f"{folder} ({args.split})")
        found[title] = (seen.confidence, seen.correct)
    n = len(next(iter(found.values()))[0])
    return found, panels.titled(f"{args.split}, checkpoint {args.checkpoint}, {n:,} images")
