"""Which images take part: a cap per class by one seed, and validation cut into select and calibrate."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from calibench.data import splitting
from calibench.data.listing import SPLITS
from calibench.errors import UserError

PARTS = ("train", "select", "calibrate", "test")


def capped(frame: pd.DataFrame, per_class: int | None, seed: int, splits: Sequence[str]) -> pd.DataFrame:
    """Rows that the cap leaves, in their old order; splits not named in ``splits`` stay whole."""
    if per_class is None:
        return frame
    keep = np.ones(len(frame), dtype=bool)
    for split in splits:
        rows = np.flatnonzero(frame["split"] == split)
        part = frame.iloc[rows]
        keep[rows] = splitting.cap(part["target"], part["filename"], per_class, seed)
    return frame[keep].reset_index(drop=True)


def parts(frame: pd.DataFrame, calibrate: float, seed: int) -> np.ndarray:
    """Part of each row: train and test as they are, validation cut by group into select and calibrate."""
    part = frame["split"].to_numpy(dtype=object, copy=True)
    rows = np.flatnonzero(frame["split"] == "val")
    val = frame.iloc[rows]
    held = splitting.cut(val["target"], val["group"], val["filename"], calibrate, seed, "calibrate")
    part[rows] = np.where(held, "calibrate", "select")
    return part


def counts(frame: pd.DataFrame, column: str, names: Sequence[str], num_classes: int) -> dict[str, list[int]]:
    """Images per class in each of ``names``."""
    return {
        n: np.bincount(frame["target"][frame[column] == n], minlength=num_classes).tolist() for n in names
    }


def below_cap(
    before: dict[str, list[int]], labels: list[str], sample: dict[str, Any]
) -> list[dict[str, Any]]:
    """Classes that have fewer images than the cap, in each capped split."""
    cap = sample["per_class"] or 0
    return [
        {"label": labels[k], "n": n, "split": split}
        for split in sample["splits"]
        for k, n in enumerate(before[split])
        if n < cap
    ]


def draw(frame: pd.DataFrame, settings: dict[str, Any]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Sample a list.

    Returns:
        Sample (the list's columns and ``part``) and its report (cap, seed, classes below the cap, priors).

    Raises:
        UserError: if select, or calibrate with a share above 0, would be empty.
    """
    sample = settings["sample"]
    labels = frame.drop_duplicates("target").set_index("target")["label"].sort_index()
    num_classes = int(frame["target"].max()) + 1
    before = counts(frame, "split", SPLITS, num_classes)
    short = below_cap(before, labels.reindex(range(num_classes), fill_value="").tolist(), sample)
    frame = capped(frame, sample["per_class"], sample["seed"], sample["splits"])
    frame = frame.assign(part=parts(frame, settings["calibrate"], sample["seed"]))
    after = counts(frame, "part", PARTS, num_classes)
    key = f"datasets.{settings['name']}.calibrate"
    for part in PARTS:
        if not sum(after[part]) and (part != "calibrate" or settings["calibrate"] > 0):
            raise UserError(f"part '{part}' of the sample is empty; add validation images or change {key}")
    report = {
        "per_class": sample["per_class"],
        "seed": sample["seed"],
        "below_cap": short,
        "priors": {"before": before, "after": after},
    }
    return frame, report
