"""What the panels of a figure are: runs of one data set and backbone, their titles, and what is read of them."""

import argparse
from pathlib import Path

import pandas as pd

from calibench.backbones.names import backbone_label
from calibench.data.stored import read_classes
from calibench.errors import UserError
from calibench.figures import style
from calibench.finished.read import read_history, read_keys, read_part, read_record
from calibench.metrics.probabilities import Predictions
from calibench.regimes.catalog import label


class Panels:
    """The runs of a figure, in the order given; all are of one data set and backbone, and none comes twice.

    Args:
        args: ``records`` (``run.json`` of each run) and, where the kind has it, ``runs``.

    Raises:
        UserError: otherwise.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.folders = [record.parent for record in args.records]
        self.runs = [read_keys(folder) for folder in self.folders]
        for folder, run in zip(self.folders, self.runs, strict=True):
            if any(run[key] != self.runs[0][key] for key in ("dataset", "backbone")):
                raise UserError(
                    f"{folder} has another dataset or backbone than {self.folders[0]}; draw one figure for each"
                )
            if self.runs.count(run) > 1:
                raise UserError(f"{folder} is given twice (same regime, variant and seed)")
        self.names = [run["regime"] + run["variant"] for run in self.runs]
        self.labels = [label(name) for name in self.names]
        listed = args.runs.split(",") if getattr(args, "runs", None) else []
        looks = style.looks(list(dict.fromkeys([*listed, *self.names])))
        self.looks = {label(name): looks[name] for name in self.names}

    @property
    def titles(self) -> list[str]:
        """Titles of the panels: the label, with the seed where a label comes with several."""
        return [
            name if self.labels.count(name) == 1 else f"{name}, seed {run['seed']}"
            for name, run in zip(self.labels, self.runs, strict=True)
        ]

    def titled(self, *more: str) -> str:
        """Title of the figure: data set, backbone, what else it shows, and the seed or how many there are."""
        seeds = {run["seed"] for run in self.runs}
        said = f"{len(seeds)} seeds" if len(seeds) > 1 else f"seed {seeds.pop()}"
        return ", ".join([self.runs[0]["dataset"], backbone_label(self.runs[0]["backbone"]), *more, said])

    def by_title(self) -> list[tuple[str, Path]]:
        """Title and folder of each run."""
        return list(zip(self.titles, self.folders, strict=True))

    def history(self, checkpoint: str) -> pd.DataFrame:
        """Histories of all runs, with ``run`` (label), ``seed`` and ``chosen`` (the epoch of the checkpoint)."""
        frames = []
        for folder, name, run in zip(self.folders, self.labels, self.runs, strict=True):
            frame = read_history(folder)
            chosen = frame["epoch"] == read_record(folder).get("epochs", {}).get(checkpoint)
            frames.append(frame.assign(run=name, seed=run["seed"], chosen=chosen))
        return pd.concat(frames, ignore_index=True)

    def predictions(self, checkpoint: str) -> list[Predictions]:
        """Predictions of each run on test."""
        found = []
        for folder in self.folders:
            logits, index = read_part(folder, checkpoint, "test")
            found.append(Predictions.of(logits, index["target"].to_numpy(), str(folder)))
        return found

    def confidences(self, checkpoint: str) -> tuple[pd.DataFrame, str]:
        """Columns ``run`` (label), ``seed``, ``confidence``, ``correct`` of every test prediction; a title."""
        seen = self.predictions(checkpoint)
        frames = [
            pd.DataFrame({"run": n, "seed": r["seed"], "confidence": p.confidence, "correct": p.correct})
            for n, r, p in zip(self.labels, self.runs, seen, strict=True)
        ]
        return pd.concat(frames, ignore_index=True), self.tested(seen, checkpoint)

    def tested(self, seen: list[Predictions], checkpoint: str) -> str:
        """Title of a figure that shows test predictions."""
        return self.titled(f"{len(seen[0].targets):,} test images", f"checkpoint {checkpoint}")


def add_runs(command: argparse.ArgumentParser) -> None:
    """Options of a figure that shows, or marks, one checkpoint and tells runs apart by colour."""
    command.add_argument("--checkpoint", default="top1")
    command.add_argument(
        "--runs", help="all runs of the experiment, by commas: a run has one colour in all its figures"
    )


def add_classes(command: argparse.ArgumentParser) -> None:
    """Option of a figure that names classes."""
    command.add_argument("--classes", type=Path, required=True, help="classes.csv of the data set")


def add_runs_and_classes(command: argparse.ArgumentParser) -> None:
    """Both."""
    add_runs(command)
    add_classes(command)


def class_names(args: argparse.Namespace) -> list[str]:
    """Names of the K classes."""
    return list(read_classes(args.classes))
