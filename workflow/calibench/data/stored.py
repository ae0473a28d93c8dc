"""Reading a store: the decoded images of a data set, their index and its classes."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench.data import staging
from calibench.errors import UserError


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Tell a file of the store that is missing, empty or cut off in one sentence."""
    try:
        yield
    except (FileNotFoundError, EOFError, ValueError) as error:  # what NumPy and pandas make of bad bytes
        what = "is missing" if isinstance(error, FileNotFoundError) else "is damaged"
        raise UserError(f"{path} {what}; delete the folder {path.parent} and run again") from error


def _read_table(path: Path, **options: Any) -> pd.DataFrame:
    with _whole(path):
        if not path.read_bytes().endswith(b"\n"):
            raise ValueError("empty, or the last line is cut off")
        return pd.read_csv(path, keep_default_na=False, **options)


def read_store(folder: Path, stage: bool = False) -> tuple[np.ndarray, pd.DataFrame, int]:
    """Memory map of the images (of a copy on the node, with ``stage``), their index, and the number of classes.

    Raises:
        UserError: if a file is missing or damaged, or index and images do not match.
    """
    images = folder / "images.npy"
    with _whole(images):
        store = np.load(staging.stage(images) if stage else images, mmap_mode="r")
    index = _read_table(folder / "index.csv", dtype={"group": str, "stratum": str, "label": str})
    classes = _read_table(folder / "classes.csv")
    if len(index) != len(store):
        raise UserError(
            f"{folder}: index.csv has {len(index)} rows, images.npy {len(store)}; delete the folder and run again"
        )
    return store, index, len(classes)


def read_classes(path: Path) -> pd.Series:
    """Class names by target from ``classes.csv``.

    Raises:
        UserError: if it is missing.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; list the data set first")
    frame = pd.read_csv(path, dtype={"label": str}, keep_default_na=False)
    return frame.set_index("target")["label"].sort_index()
