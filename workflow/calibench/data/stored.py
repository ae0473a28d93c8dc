"""Read a store: the decoded images of a data set, their index and the classes."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench.data import staging
from calibench.errors import UserError


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

    UserError if a file is missing or damaged, or index and images do not fit.
    """
    images = folder / "images.npy"
    with _store_errors(images):
        store = np.load(staging.stage(images) if stage else images, mmap_mode="r")
    index = _read_table(folder / "index.csv", dtype={"group": str, "stratum": str, "label": str})
    classes = _read_table(folder / "classes.csv")
    if len(index) != len(store):
        raise UserError(
            f"{folder}: index.csv has {len(index)} rows, but images.npy {len(store)}; delete the folder and run again"
        )
    return store, index, len(classes)


def read_classes(path: Path) -> pd.Series:
    """Class names by target from ``classes.csv``; UserError if it is missing or damaged."""
    frame = _read_table(path, dtype={"label": str})
    return frame.set_index("target")["label"].sort_index()
