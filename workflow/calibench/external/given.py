"""What a file of predictions says, checked: logits, labels and what is known of the images."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from calibench.errors import UserError, did_you_mean
from calibench.external.arrays import VALIDATION, read_arrays
from calibench.finished.derived import log_probabilities
from calibench.metrics.human import vote_shares
from calibench.metrics.probabilities import check

PARTS = {
    "": "test",
    "test": "test",
    **dict.fromkeys(("calibrate", "calibration", "val", "valid", "validation"), "calibrate"),
    "select": "select",
}
SUM = 1e-3  # probabilities of half precision sum to 1 within this; they are divided by their sum
TEXTS = {"images": "image", "groups": "group", "strata": "stratum"}


@dataclass(frozen=True)
class Given:
    """Predictions of N images.

    Args:
        where: the file.
        logits: (N, K) float32; logarithms of the probabilities where the file has these.
        index: N rows: ``image`` (its name or ''), ``target``, ``part``, ``group``, ``stratum``.
        classes: K names.
        votes: (N, K) shares of the votes, or None.
    """

    where: str
    logits: np.ndarray
    index: pd.DataFrame
    classes: list[str]
    votes: np.ndarray | None

    def rows(self, order: np.ndarray) -> "Given":
        """These images in this order."""
        votes = None if self.votes is None else self.votes[order]
        index = self.index.iloc[order].reset_index(drop=True)
        return replace(self, logits=self.logits[order], index=index, votes=votes)


def read_given(path: Path) -> Given:
    """Read and check a file; validation in arrays of its own (``val_probs`` …) follows the test images.

    Raises:
        UserError: one sentence, with the row, for all that cannot be measured.
    """
    arrays = read_arrays(path)
    starts = ["", *([VALIDATION] if VALIDATION + "labels" in arrays else [])]
    parts = [_part(arrays, start, path) for start in starts]
    if len({part.logits.shape[1] for part in parts}) > 1:
        raise UserError(f"{path}: the validation arrays have another number of classes than the others")
    if len(parts) == 1:
        return parts[0]
    test, validation = parts
    votes = test.votes
    if votes is not None:
        unknown = np.full_like(validation.logits, np.nan)
        votes = np.concatenate([votes, unknown if validation.votes is None else validation.votes])
    index = pd.concat([test.index, validation.index.assign(part="calibrate")], ignore_index=True)
    return replace(test, logits=np.concatenate([test.logits, validation.logits]), index=index, votes=votes)


def _part(arrays: dict[str, np.ndarray], start: str, path: Path) -> Given:
    own = {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}
    if not start:
        own = {name: a for name, a in own.items() if not name.startswith(VALIDATION)}
    where = f"{path}, {VALIDATION} arrays" if start else str(path)
    logits = _from_logits(own["logits"], where) if "logits" in own else _from_probs(own["probs"], where)
    n, k = logits.shape
    classes = _classes(arrays.get("classes"), k, where)
    targets = check(logits, _targets(own["labels"], classes, where), where)[1]
    index = pd.DataFrame({"target": targets})
    for name, column in TEXTS.items():
        values = own[name].astype(str) if name in own else np.full(n, "")
        index[column] = _one_each(values, n, name, where)
    index["part"] = _parts(own["part"].astype(str), n, where) if "part" in own else "test"
    votes = None
    if "votes" in own:
        votes = vote_shares(_one_each(own["votes"], n, "votes", where), k, where)
    return Given(where, logits, index, classes, votes)


def _one_each(values: np.ndarray, n: int, name: str, where: str) -> np.ndarray:
    if len(values) != n:
        raise UserError(f"{where}: {len(values)} {name} for {n} predictions; give one for each")
    return values


def _two_columns(scores: np.ndarray, first: np.ndarray, where: str) -> np.ndarray:
    """(N, 2) from one score per image, that of class 1."""
    if not np.issubdtype(scores.dtype, np.number):
        raise UserError(f"{where}: the scores are not numbers but {scores.dtype}")
    if scores.ndim == 2 and scores.shape[1] == 1:
        scores, first = scores[:, 0], first[:, 0]
    return np.stack([first, scores], axis=1) if scores.ndim == 1 else scores


def _from_logits(logits: np.ndarray, where: str) -> np.ndarray:
    logits = _two_columns(logits, np.zeros_like(logits), where).astype(np.float32)
    broken = np.flatnonzero(~np.isfinite(logits.reshape(len(logits), -1)).all(axis=1))
    if broken.size:
        raise UserError(
            f"{where}: {broken.size} of {len(logits)} rows hold NaN or infinity (first: row {broken[0]}, counted from 0); "
            "leave such images out, or predict them again"
        )
    sums = logits.sum(axis=1) if logits.ndim == 2 and logits.size and (logits >= 0).all() else np.zeros(1)
    if np.allclose(sums, 1, atol=SUM):
        raise UserError(
            f"{where}: the rows of 'logits' are at least 0 and sum to 1; if they are probabilities, call them probs"
        )
    return logits


def _from_probs(probs: np.ndarray, where: str) -> np.ndarray:
    """Logarithms of probabilities, whose softmax they are.

    Raises:
        UserError: naming the first row that is NaN, negative or does not sum to 1.
    """
    probs = _two_columns(probs, 1 - np.asarray(probs, np.float64), where).astype(np.float64)
    if probs.ndim != 2:
        raise UserError(f"{where}: probabilities have shape {probs.shape}; give (images, classes)")
    total = probs.sum(axis=1, keepdims=True)
    for bad, what in {
        "hold NaN or infinity": ~np.isfinite(total[:, 0]),
        "have a negative probability": (probs < 0).any(axis=1),
        "do not sum to 1": np.abs(total[:, 0] - 1) > SUM,
    }.items():
        if what.any():
            row = int(np.flatnonzero(what)[0])
            raise UserError(
                f"{where}: {int(what.sum())} of {len(probs)} rows {bad} (first: row {row}, counted from 0, "
                f"sum {total[row, 0]:.6g}); give softmax outputs as probs, or raw outputs as logits"
            )
    return log_probabilities(probs / total)


def _classes(names: np.ndarray | None, k: int, where: str) -> list[str]:
    classes = [str(i) for i in range(k)] if names is None else [str(name) for name in np.ravel(names)]
    if len(classes) != k or len(set(classes)) != k:
        raise UserError(
            f"{where}: {len(set(classes))} different class names for {k} classes; give one for each"
        )
    return classes


def _targets(labels: np.ndarray, classes: list[str], where: str) -> np.ndarray:
    """Numbers of the classes, from numbers or names; (N, 1) counts as (N,)."""
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.dtype.kind in "US":
        number = {name: i for i, name in enumerate(classes)}
        texts = labels.astype(str)
        unknown = [i for i, text in enumerate(texts) if text not in number]
        if unknown:
            row, text = unknown[0], texts[unknown[0]]
            raise UserError(
                f"{where}: row {row} (from 0) has the label '{text}', which is not a class; {did_you_mean(text, classes)}"
            )
        return np.array([number[text] for text in texts], np.int64)
    whole = labels.dtype.kind == "b" or (labels.dtype.kind == "f" and (labels == np.round(labels)).all())
    return labels.astype(np.int64) if whole else labels


def _parts(names: np.ndarray, n: int, where: str) -> np.ndarray:
    names = _one_each(names, n, "parts", where)
    unknown = [i for i, name in enumerate(names) if name.lower() not in PARTS]
    if unknown:
        raise UserError(
            f"{where}: row {unknown[0]} (from 0) is of part '{names[unknown[0]]}'; parts are test and val (for post-hoc maps)"
        )
    return np.array([PARTS[name.lower()] for name in names])


def same_images(files: list[Given]) -> list[Given]:
    """The same predictions, all with the images in the order of the first file.

    Images are matched by name where every file names them, each once; else row by row, by what is known of them.

    Raises:
        UserError: naming the first row that differs.
    """
    first = files[0]
    return [first, *(_matched(first, other) for other in files[1:])]


def _matched(first: Given, other: Given) -> Given:
    if other.classes != first.classes:
        raise UserError(f"{other.where} has other classes, or another order of classes, than {first.where}")
    names = first.index["image"]
    named = all(
        (given.index["image"] != "").all() and given.index["image"].is_unique for given in (first, other)
    )
    if named:
        place = pd.Series(np.arange(len(other.index)), other.index["image"]).reindex(names)
        if place.isna().any():
            row = int(np.flatnonzero(place.isna())[0])
            raise UserError(
                f"{other.where} lacks the image '{names[row]}' (row {row}, from 0) of {first.where}; give all files the same images"
            )
        if len(other.index) > len(names):
            lost = next(image for image in other.index["image"] if image not in set(names))
            raise UserError(
                f"{other.where} has the image '{lost}', which {first.where} lacks; give all files the same images"
            )
        other = other.rows(place.to_numpy(np.int64))
    if len(other.index) != len(names):
        raise UserError(
            f"{other.where} has {len(other.index)} images and {first.where} {len(names)}; give all files the same images"
        )
    for column in ("target", "part", "group", "image"):
        apart = (other.index[column] != first.index[column]).to_numpy()
        if apart.any():
            row = int(np.flatnonzero(apart)[0])
            raise UserError(
                f"{other.where}: row {row} (from 0) has {column} '{other.index[column][row]}' but '{first.index[column][row]}' in "
                f"{first.where}; give all files the same images in the same order"
            )
    return other
