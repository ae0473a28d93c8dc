"""Which images are used: at most a given number per class, by a seed; validation is cut into select and calibrate."""

from typing import Any

import numpy as np
import pandas as pd

from calibench.data import splitting
from calibench.data.splitnames import SPLITS
from calibench.errors import UserError

PARTS = ("train", "select", "calibrate", "test")


def _cap(frame: pd.DataFrame, sample: dict[str, Any]) -> pd.DataFrame:
    """The rows left with at most ``per_class`` images per class in each of ``splits``, in their old order."""
    keep = np.ones(len(frame), dtype=bool)
    for split in sample["splits"] if sample["per_class"] else ():
        rows = np.flatnonzero(frame["split"] == split)
        part = frame.iloc[rows]
        keep[rows] = splitting.cap(part["target"], part["filename"], sample["per_class"], sample["seed"])
    return frame[keep].reset_index(drop=True)


def _parts(frame: pd.DataFrame, calibrate: float, seed: int) -> np.ndarray:
    """Part of each row: train and test stay, validation is cut by group into select and calibrate."""
    part = frame["split"].to_numpy(dtype=object, copy=True)
    rows = np.flatnonzero(part == "val")
    val = frame.iloc[rows]
    held = splitting.cut(val["target"], val["group"], val["filename"], calibrate, seed, "calibrate")
    part[rows] = np.where(held, "calibrate", "select")
    return part


def draw(frame: pd.DataFrame, settings: dict[str, Any]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Sample (columns of the list, and ``part``) of a list, and its report: cap, seed, classes below the cap, priors.

    UserError if a part is empty, except calibrate with a share of 0.
    """
    sample, num_classes = settings["sample"], int(frame["target"].max()) + 1
    labels = dict(zip(frame["target"], frame["label"], strict=True))

    def counts(column: str, names: tuple[str, ...]) -> dict[str, list[int]]:
        targets = {name: frame["target"][frame[column] == name] for name in names}
        return {name: np.bincount(target, minlength=num_classes).tolist() for name, target in targets.items()}

    before = counts("split", SPLITS)
    below_cap = [
        {"label": labels.get(k, ""), "n": n, "split": split}
        for split in sample["splits"]
        for k, n in enumerate(before[split])
        if n < (sample["per_class"] or 0)
    ]
    frame = _cap(frame, sample)
    frame = frame.assign(part=_parts(frame, settings["calibrate"], sample["seed"]))
    after = counts("part", PARTS)
    key = f"datasets.{settings['name']}.calibrate"
    for part in PARTS:
        if not sum(after[part]) and (part != "calibrate" or settings["calibrate"] > 0):
            raise UserError(f"part '{part}' of the sample is empty; add validation images or change {key}")
    report = {
        "per_class": sample["per_class"],
        "seed": sample["seed"],
        "below_cap": below_cap,
        "priors": {"before": before, "after": after},
    }
    return frame, report
