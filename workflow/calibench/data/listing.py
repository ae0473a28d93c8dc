"""From the lists of a data set to one checked table: filename, label, target, split, group, stratum."""

import logging
import posixpath
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench.data import radimagenet, splitting
from calibench.data.sources import LIST_FORMATS, Where, read_source, root_of
from calibench.data.splitnames import SPLIT_OF, SPLITS, split_of
from calibench.errors import UserError, did_you_mean

log = logging.getLogger(__name__)

LIST_COLUMNS = ["filename", "label", "target", "split", "group", "stratum"]
DRAWN = "drawn"  # column of list.csv only: 1 where the split was drawn by the seed
TEXTS = ("filename", "label", "group", "stratum")  # columns of free text
LONGEST = 4096  # characters of a filename (Linux's limit of a path) or another text
SHOWN = 80  # characters of them in a message


def _first(mask: pd.Series | np.ndarray) -> int | None:
    """Row of the first True, or None."""
    array = np.asarray(mask, dtype=bool)
    return int(array.argmax()) if array.any() else None


def check_text(frame: pd.DataFrame, where: Where) -> None:
    """Raise UserError for empty, too long or unprintable texts, and for paths outside the data set's root."""
    name, label = frame["filename"], frame["label"]
    rules = [
        (name.str.strip() == "", "the filename is empty; fill it in or remove the row"),
        (label.str.strip() == "", "the label is empty; fill it in or remove the row"),
        (name.str.contains("\\", regex=False), "the path has a backslash; write paths with /"),
        (name.str.match(r"/|~|[A-Za-z]:"), "an absolute path; write it relative to the data set's root"),
        (name.str.contains(r"(?:^|/)\.\.(?:/|$)"), "'..' leaves the data set's root; name files inside it"),
        (name.str.endswith("/"), "a folder, not a file; name the image"),
    ]
    for column in TEXTS:
        text = frame[column]
        long = f"a {column} of more than {LONGEST} characters; is a quote not closed?"
        control = f"a control character in the {column}; remove it"
        rules += [(text.str.len() > LONGEST, long), (text.str.contains(r"[\x00-\x1f]"), control)]
    for mask, problem in rules:
        row = _first(mask)
        if row is not None:
            texts = {c: frame[c][row][:SHOWN] for c in TEXTS if frame[c][row] or c in TEXTS[:2]}
            shown = ", ".join(f"{column} {text!r}" for column, text in texts.items())
            raise UserError(f"{where(row)}: {problem} ({shown})")


def tidy_paths(frame: pd.DataFrame) -> None:
    """Change ``./a//b.png`` to ``a/b.png`` in place, so that different spellings of one file are recognised."""
    odd = frame["filename"].str.contains(r"(?:^|/)\.?/")
    if odd.any():
        frame.loc[odd, "filename"] = [posixpath.normpath(p) for p in frame.loc[odd, "filename"]]


def check_duplicates(frame: pd.DataFrame, where: Where) -> None:
    """Raise UserError for a file that is listed twice, in one split or in two."""
    row = _first(frame["filename"].duplicated())
    if row is not None:
        name = frame["filename"][row]
        first = where(_first(frame["filename"] == name))
        raise UserError(f"{where(row)}: '{name}' was listed before ({first}); remove one of the two rows")


def hold_out(frame: pd.DataFrame, settings: dict[str, Any], where: Where) -> tuple[pd.DataFrame, Where]:
    """Put ``split: test_strata`` into test, and nothing else: other images that the list has in test are left out.

    Raises:
        UserError: a stratum that no image has, or none left to train on.
    """
    wanted, key = settings["split"]["test_strata"], f"datasets.{settings['name']}.split.test_strata"
    if not wanted:
        return frame, where
    strata = frame["stratum"].str.strip()
    for name in wanted:
        if not (strata == name).any():
            hint = did_you_mean(name, sorted(set(strata) - {""}))
            raise UserError(f"{key}: no image has the stratum '{name}'; {hint}")
    held = strata.isin(wanted)
    if held.all():
        raise UserError(f"{key} names the strata of all images; leave one out of it to train on")
    listed = frame["split"].str.strip()
    if (listed[~held] == "").all():
        frame.loc[~held, "split"] = "train"
    unused = ~held & (listed.map(split_of) == "test")
    if unused.any():
        log.info("%d images of other strata are listed as test and left out", unused.sum())
    frame.loc[held, "split"] = "test"
    kept = np.flatnonzero(~unused)
    return frame.iloc[kept].reset_index(drop=True), lambda row: where(int(kept[row]))


def set_splits(frame: pd.DataFrame, settings: dict[str, Any], where: Where) -> None:
    """Fill the columns ``split`` and ``drawn`` in place: as listed, or drawn by group where the list has no split."""
    if not settings.get("train_on", True):
        frame["split"] = ""  # a data set only for predictions may have only test images
    listed = frame["split"].str.strip()
    splits = listed.map({name: split_of(name) for name in listed.unique()})
    row = _first(splits == "")
    if row is not None and (listed != "").any():
        raise UserError(f"{where(row)}: split '{listed[row][:SHOWN]}' is not one of {', '.join(SPLIT_OF)}")
    present = set(splits.unique()) - {""}
    shares = {name: settings["split"][name] for name in ("test", "val") if name not in present}
    undecided = splits.isin(["", "train"]).to_numpy() & bool(shares)
    frame["split"], frame[DRAWN] = splits, np.where(undecided, "1", "0")
    if shares:
        if present:
            log.info("no rows for %s in the lists; drawn from train by the seed", " and ".join(shares))
        rows = frame.loc[undecided]
        labels = pd.factorize(rows["label"])[0]
        # A listed test set keeps its size: the shares refer to the other images.
        parts = splitting.split(labels, rows["group"], rows["filename"], shares, settings["split"]["seed"])
        frame.loc[undecided, "split"] = parts
    for name in SPLITS:
        if not (frame["split"] == name).any():
            key = f"datasets.{settings['name']}"
            raise UserError(
                f"{key}: split '{name}' has no image; add rows for it or raise {key}.split.{name}"
            )


def sort_labels(labels: list[str]) -> list[str]:
    """Labels sorted as text, or by value if all are whole numbers, so that 2 comes before 10."""
    if all(label.isascii() and label.isdigit() for label in labels):
        return sorted(labels, key=lambda label: (int(label), label))
    return sorted(labels)


def number_classes(frame: pd.DataFrame, where: Where) -> pd.DataFrame:
    """Add ``target`` in place (index of the label in the sorted labels of train), and count images.

    Returns a frame target, label, train, val, test. UserError for fewer than two classes, or a label that is only in
    val or test.
    """
    labels = sort_labels(frame.loc[frame["split"] == "train", "label"].unique().tolist())
    if len(labels) < 2:
        file = where(0).rsplit(", line", 1)[0]
        raise UserError(f"{file}: train has only the class '{labels[0]}'; at least two are needed")
    target = pd.Index(labels).get_indexer(frame["label"])
    row = _first(target < 0)
    if row is not None:
        raise UserError(
            f"{where(row)}: label '{frame['label'][row]}' of split {frame['split'][row]} is not in train; correct it or "
            "add training images of that class"
        )
    frame["target"] = target
    counts = {s: np.bincount(target[frame["split"] == s], minlength=len(labels)) for s in SPLITS}
    return pd.DataFrame({"target": np.arange(len(labels)), "label": labels, **counts})


def warn_of_leaks(frame: pd.DataFrame) -> None:
    """Warn if a listed group (a patient) is in more than one split: test numbers will be too good."""
    pairs = frame.loc[frame["group"] != "", ["group", "split"]].drop_duplicates()
    groups = pairs["group"].value_counts()
    if (count := int((groups > 1).sum())) > 0:
        text = "%d group(s) are in more than one split, for example '%s': test numbers will be too good"
        log.warning(text, count, UserError(groups.index[0][:SHOWN]))  # UserError escapes control characters


def check_first_images(frame: pd.DataFrame, settings: dict[str, Any], root: Path) -> None:
    """Raise UserError if the first image of a split is not a file; checking all images would be slow."""
    for split in SPLITS:
        path = root / frame["filename"].iloc[_first(frame["split"] == split)]
        try:
            problem = "" if stat.S_ISREG(path.stat().st_mode) else "is not a file"
        except FileNotFoundError:
            problem = "is missing"
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        if problem:
            raise UserError(
                f"image {path} {problem}; set datasets.{settings['name']}.root, now {root}, to the folder that "
                "the paths in the list start from"
            )


def fill_strata(frame: pd.DataFrame) -> None:
    """Fill empty strata in place with modality/anatomy from RadImageNet's paths."""
    listed = frame["stratum"]
    frame["stratum"] = listed.where(listed != "", radimagenet.strata(frame["filename"]))
    if unknown := int((frame["stratum"] == "").sum()):
        log.info("%d paths contain no CT, MR or US and anatomy; their stratum stays empty", unknown)


def load(settings: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read and check the lists of a data set, and number its classes; UserError for a mistake, with file and line.

    Returns the list (:data:`LIST_COLUMNS` and ``drawn``, in the order of the files) and the classes (target, label,
    train, val, test).
    """
    root = root_of(settings)
    frame, where = read_source(settings, root)
    check_text(frame, where)
    tidy_paths(frame)
    check_duplicates(frame, where)
    if settings["format"] == "radimagenet":
        fill_strata(frame)
    frame, where = hold_out(frame, settings, where)
    set_splits(frame, settings, where)
    classes = number_classes(frame, where)
    warn_of_leaks(frame)
    if settings["format"] in LIST_FORMATS:
        check_first_images(frame, settings, root)
    return frame[[*LIST_COLUMNS, DRAWN]], classes
