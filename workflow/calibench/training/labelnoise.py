"""Wrong training labels, flipped by a rule or read from a file, and how far a network fits them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from calibench.data.csvfile import read_table
from calibench.errors import UserError
from calibench.training.randomness import Purpose, generator

RULES = ("symmetric", "pair")  # any other value is a file


def given_labels(
    train: pd.DataFrame, classes: list[str], noise: dict[str, Any], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The labels (n,) int64 for training, and the clean ones; equal where there is no noise.

    Args:
        train: rows of ``index.csv`` of the training images, in order: target, filename.
        classes: the K class names in the order of their numbers.
        noise: ``data`` of the run's settings: label_noise, noise.
        seed: of the run; with a file all seeds have the same labels.

    Raises:
        UserError: a file does not fit the images or names an unknown class.
    """
    clean = train["target"].to_numpy(np.int64, copy=True)
    kind = noise.get("noise", "symmetric")
    if kind not in RULES:
        return from_file(Path(kind), train["filename"].tolist(), classes), clean
    return flipped(clean, noise["label_noise"], len(classes), seed, kind), clean


def flipped(
    targets: np.ndarray, share: float, num_classes: int, seed: int, kind: str = "symmetric"
) -> np.ndarray:
    """Flip each label (n,) to a different class with probability ``share``, independently.

    ``kind`` symmetric: any of the K-1 other classes (Zhang et al. 2021, Table VII); pair: the next class, after the
    last class the first (Han et al. 2018, Co-teaching).
    """
    if share == 0:
        return targets
    draw = generator(seed, Purpose.LABEL_NOISE)
    chosen = draw.random(len(targets)) < share
    shift = draw.integers(1, num_classes, len(targets)) if kind == "symmetric" else 1
    return np.where(chosen, (targets + shift) % num_classes, targets)


def from_file(path: Path, filenames: list[str], classes: list[str]) -> np.ndarray:
    """Labels (n,) int64 of the training images ``filenames`` from a CSV file with the columns filename and label.

    Rows of other images (validation, or dropped by the audit) are not used. UserError for the first training image
    without a row or with two rows, or the first label that is not in ``classes``.
    """
    frame = read_table(path).frame
    double = frame["filename"][frame["filename"].duplicated()]
    if len(double):
        raise UserError(f"{path}: '{double.iloc[0]}' has two rows; keep one")
    unknown = frame[~frame["label"].isin(classes)]
    if len(unknown):
        row = unknown.iloc[0]
        raise UserError(
            f"{path}: '{row['filename']}' has the label '{row['label']}', which is not a class of this data set; the "
            f"classes are: {', '.join(classes[:20])}"
        )
    labels = frame.set_index("filename")["label"].reindex(filenames)
    lacking = labels.index[labels.isna()]
    if len(lacking):
        raise UserError(
            f"{path} has labels for {len(filenames) - len(lacking)} of {len(filenames)} training images; '{lacking[0]}' "
            "has none; add a row for every training image"
        )
    number = {name: i for i, name in enumerate(classes)}
    return labels.map(number).to_numpy(np.int64)


class NoiseCount:
    """Counts on the device, over an epoch, the predictions for images with right and with flipped labels.

    Args:
        clean: the true labels (n,) of the training images.
        given: the labels used for training.
        counts: :attr:`counts` so far of an epoch that was interrupted.
    """

    def __init__(self, clean: Tensor, given: Tensor, counts: list[int]) -> None:
        self.clean, self.flipped = clean, clean != given
        # flipped images: all, predicted as their wrong label, as their true class; other images: all, right
        self.counts = torch.tensor(counts, dtype=torch.int64, device=clean.device)

    def add(self, rows: Tensor, predicted: Tensor, given: Tensor) -> None:
        """Count one batch: which images (B,), their predicted classes (B,) and given labels (B,)."""
        flipped, right = self.flipped[rows], predicted == self.clean[rows]
        each = flipped, flipped & (predicted == given), flipped & right, ~flipped, ~flipped & right
        self.counts += torch.stack(each).sum(1)

    def line(self) -> dict[str, float]:
        """Numbers for the history of an epoch; errors are relative to the true class, and 0 without images."""
        flipped, fitted, true, others, right = self.counts.tolist()
        return {
            "clean_error": (others - right) / max(others, 1),
            "flipped_error": (flipped - true) / max(flipped, 1),
            "flipped_fitted": fitted / max(flipped, 1),
            "flipped": flipped,
        }
