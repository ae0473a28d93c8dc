"""Array and column names that other programs use, and the files they write."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from calibench.errors import UserError

NAMES = {
    "logits": ("logits", "logit"),
    "probs": ("probs", "prob", "probabilities", "y_prob", "y_proba"),
    "labels": ("labels", "label", "y_true", "targets", "target", "y"),
    "groups": ("groups", "group", "patient"),
    "strata": ("strata", "stratum"),
    "part": ("part", "split"),
    "images": ("filename", "filenames", "image", "images", "id", "ids"),
    "classes": ("classes", "class_names"),
    "votes": ("votes",),
}
PER_CLASS = ("logits", "probs", "votes")  # in a CSV one column per class, as prob_cat, prob_dog
VALIDATION = "val_"  # before a name: the array of the validation part


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by our names (:data:`NAMES`), those of validation with :data:`VALIDATION` before them.

    Raises:
        UserError: a file that is missing or no npz or CSV; two arrays that mean the same; neither logits nor
            probabilities, or no labels.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; name a .npz or .csv file of predictions")
    try:
        found = _of_csv(path) if path.suffix.lower() == ".csv" else _of_npz(path)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{path} cannot be read as a .npz or .csv file of predictions: {error}") from error
    for start in ("", *([VALIDATION] if any(name.startswith(VALIDATION) for name in found) else [])):
        for wanted in (("logits", "probs"), ("labels",)):
            if not any(start + name in found for name in wanted):
                said = " or ".join(start + name for name in wanted)
                raise UserError(f"{path} has no {said}; it has {', '.join(found) or 'no known array'}")
        if start + "logits" in found and start + "probs" in found:
            del found[start + "probs"]  # the same, rounded
    return found


def _of_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        if isinstance(file, np.ndarray):
            raise ValueError("it holds one array without a name; save it with numpy.savez")
        return _named({name: file[name] for name in file.files}, path)


def _named(arrays: dict[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """Arrays under our names; those that mean nothing here are left out."""
    known = {other: ours for ours, others in NAMES.items() for other in others}
    found: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        start = VALIDATION if name.lower().startswith(VALIDATION) else ""
        ours = known.get(name.lower().removeprefix(start))
        if ours and start + ours in found:
            raise UserError(f"{path}: '{name}' and another array both mean {start + ours}; keep one")
        if ours:
            found[start + ours] = array
    return found


def _of_csv(path: Path) -> dict[str, np.ndarray]:
    header = pd.read_csv(path, nrows=0).columns
    per_class = {name: _columns(header, NAMES[name]) for name in PER_CLASS}
    numbers = [column for columns in per_class.values() for column in columns]
    text = dict.fromkeys([c for c in header if c not in numbers], str)
    frame = pd.read_csv(
        path, dtype=text | dict.fromkeys(numbers, np.float64), keep_default_na=False, na_values=""
    )
    frame[list(text)] = frame[list(text)].fillna("")
    arrays = {column: frame[column].to_numpy(dtype=str) for column in text}
    found = _named({name: array for name, array in arrays.items() if name not in PER_CLASS}, path)
    for name, columns in per_class.items():
        if columns:
            found[name] = frame[list(columns)].to_numpy()
    scores = per_class["logits"] or per_class["probs"]
    if scores:
        found["classes"] = np.array(list(scores.values()))
        if list(per_class["votes"].values()) not in ([], list(scores.values())):
            raise UserError(f"{path}: the votes have other classes, or another order, than the scores")
    return found


def _columns(header: Iterable[str], starts: Iterable[str]) -> dict[str, str]:
    """{column: class} of the columns that are one of these words, _ and the name of a class."""
    found = {}
    for column in header:
        word, _, name = column.partition("_")
        if name and word.lower() in starts:
            found[column] = name
    return found
