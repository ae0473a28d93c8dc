"""Read a store: the decoded images of a data set, their index and the classes."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench.data import staging
from calibench.errors import UserError, did_you_mean


@contextlib.contextmanager
def _store_errors(path: Path) -> Iterator[None]:
    """Turn the errors of NumPy and pandas for a missing, empty or truncated file into one sentence."""
    try:
        yield
    except (FileNotFoundError, EOFError, ValueError) as error:
        problem = "is missing" if isinstance(error, FileNotFoundError) else "is damaged"
        raise UserError(f"{path} {problem}; delete the folder {path.parent} and run again") from error


def _read_table(path: Path, **options: Any) -> pd.DataFrame:
    with _store_errors(path):
        if not path.read_bytes().endswith(b"\n"):
            raise ValueError("empty, or the last line is incomplete")
        return pd.read_csv(path, keep_default_na=False, **options)


def read_store(folder: Path, stage: bool = False) -> tuple[np.ndarray, pd.DataFrame, int]:
    """Memory map of the images (with ``stage`` of a copy on the node), their index, and the number of classes.

    In a store of features ``images.npy`` is float32 vectors (N, D), perhaps followed by augmented copies
    (:mod:`calibench.data.vectors`). UserError if a file is missing or damaged, or index and images do not fit.
    """
    images = folder / "images.npy"
    with _store_errors(images):
        store = np.load(staging.stage(images) if stage else images, mmap_mode="r")
    index = _read_table(folder / "index.csv", dtype={"group": str, "stratum": str, "label": str})
    classes = _read_table(folder / "classes.csv")
    training = max(int((index["split"] == "train").sum()), 1)
    copies = (len(store) - len(index)) / training if store.ndim == 2 else 0
    if len(index) != len(store) and not (copies > 0 and copies.is_integer()):
        raise UserError(
            f"{folder}: index.csv has {len(index)} rows, but images.npy {len(store)}; delete the folder and run again"
        )
    return store, index, len(classes)


def read_classes(path: Path) -> pd.Series:
    """Class names by target from ``classes.csv``; UserError if it is missing or damaged."""
    frame = _read_table(path, dtype={"label": str})
    return frame.set_index("target")["label"].sort_index()


def class_numbers(path: Path | None, names: Sequence[str]) -> list[int]:
    """Targets of these class names.

    Raises:
        UserError: if one is not a class, all classes are named, or there is no list of classes.
    """
    if path is None:
        raise UserError("--classes is missing; statistics.positive needs it")
    number = {label: int(target) for target, label in read_classes(path).items()}
    for name in names:
        if name not in number:
            raise UserError(
                f"config: statistics.positive: '{name}' is not a class; {did_you_mean(name, number)}"
            )
    if len(set(names)) == len(number):
        raise UserError("config: statistics.positive has all classes; remove those without a finding")
    return [number[name] for name in names]
