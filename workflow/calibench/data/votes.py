"""Votes of several readers on the images of a store."""

from pathlib import Path

import numpy as np
import pandas as pd

from calibench.errors import UserError

PREFIX = "votes_"


def read_votes(path: Path, index: pd.DataFrame, classes: list[str]) -> np.ndarray:
    """Votes (rows of the store, K), NaN for images without votes.

    Args:
        path: a CSV with ``filename`` and a column per class, ``votes_cat`` or ``cat``; or an array (N, K) as ``.npy``
            for the N test images in the order of the data set, as in CIFAR-10H.
        index: ``index.csv`` of the store.
        classes: K names, by number.

    Raises:
        UserError: a column or the file is missing, or no image has votes.
    """
    found = np.full((len(index), len(classes)), np.nan)
    if path.suffix.lower() == ".npy":
        try:
            votes = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is not a complete .npy array ({error})") from error
        place = _number_in_test(index, path)
        if (
            votes.ndim != 2
            or votes.shape[1] != len(classes)
            or len(votes) <= place.to_numpy().max(initial=-1)
        ):
            raise UserError(
                f"{path} has shape {votes.shape}; {len(classes)} classes and {place.to_numpy().max(initial=-1) + 1} or more test "
                "images are needed"
            )
        found[place.index] = votes[place.to_numpy()]
        return found
    table = pd.read_csv(path, dtype={"filename": str}, keep_default_na=False, na_values="")
    columns = [next((c for c in (PREFIX + name, name) if c in table), "") for name in classes]
    if "filename" not in table or "" in columns:
        lacks = "filename" if "filename" not in table else PREFIX + classes[columns.index("")]
        raise UserError(f"{path} lacks the column '{lacks}'; it has {', '.join(table.columns)}")
    votes = table.drop_duplicates("filename").set_index("filename")[columns].reindex(index["filename"])
    found[:] = votes.to_numpy(np.float64)
    if np.isnan(found).all():
        raise UserError(f"{path} names no image of the data set; filename must be as in its list")
    return found


def _number_in_test(index: pd.DataFrame, path: Path) -> pd.Series:
    """Row of the store → number of the image among the test images of an array format (``test/000123``)."""
    number = index.loc[index["part"] == "test", "filename"].str.extract(r"^test/(\d+)$")[0]
    if number.isna().any():
        raise UserError(
            f"{path}: votes in the order of the test images are for npz, idx and cifar; give a CSV with filename"
        )
    return number.astype(np.int64)
