"""From list files to one checked table: filename, label, target, split, group, stratum."""

import logging
import posixpath
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench.data import radimagenet, splitting
from calibench.data.sources import LIST_FORMATS, Where, read_source, root_of
from calibench.data.splitnames import SPLITS, split_of, told
from calibench.errors import UserError

log = logging.getLogger(__name__)

LIST_COLUMNS = ["filename", "label", "target", "split", "group", "stratum"]
DRAWN = "drawn"  # column of list.csv only: 1 where the seed chose the split
TEXTS = ("filename", "label", "group", "stratum")  # columns of free text
LONGEST = 4096  # characters of a filename (Linux's limit of a path) or another text
SHOWN = 80  # characters of them in a message


def _first(mask: pd.Series) -> int | None:
    """Row of the first True, or None."""
    array = mask.to_numpy(dtype=bool)
    return int(array.argmax()) if array.any() else None


def check_text(frame: pd.DataFrame, where: Where) -> None:
    """Refuse empty, overlong and unprintable fields and paths that leave the dataset's folder.

    Raises:
        UserError: naming file, line and field.
    """
    name, label = frame["filename"], frame["label"]
    rules = [
        (name.str.strip() == "", "the filename is empty; fill it in or remove the row"),
        (label.str.strip() == "", "the label is empty; fill it in or remove the row"),
        (name.str.contains("\\", regex=False), "a backslash in the path; write paths with /"),
        (name.str.match(r"(?:/|~|[A-Za-z]:)"), "an absolute path; write it relative to the dataset's root"),
        (
            name.str.contains(r"(?:^|/)\.\.(?:/|$)", regex=True),
            "'..' leaves the dataset's root; name files inside it",
        ),
        (name.str.endswith("/"), "a folder, not a file; name the image"),
    ]
    for column in TEXTS:
        text = frame[column]
        long = f"a {column} of more than {LONGEST} characters; is a quote left open?"
        rules.append((text.str.len() > LONGEST, long))
        control = f"a control character in the {column}; remove it"
        rules.append((text.str.contains(r"[\x00-\x1f]", regex=True), control))
    for mask, what in rules:
        row = _first(mask)
        if row is not None:
            shown = ", ".join(
                f"{c} {frame[c][row][:SHOWN]!r}" for c in TEXTS if frame[c][row] or c in TEXTS[:2]
            )
            raise UserError(f"{where(row)}: {what} ({shown})")


def tidy_paths(frame: pd.DataFrame) -> None:
    """Write ``./a//b.png`` as ``a/b.png`` in place, so that two spellings of one file are seen as one."""
    odd = frame["filename"].str.contains(r"(?:^|/)\.?/", regex=True)
    if odd.any():
        frame.loc[odd, "filename"] = [posixpath.normpath(p) for p in frame.loc[odd, "filename"]]


def check_duplicates(frame: pd.DataFrame, where: Where) -> None:
    """Refuse a file that is listed twice, in one split or across splits."""
    row = _first(frame["filename"].duplicated())
    if row is not None:
        name = frame["filename"][row]
        first = _first(frame["filename"] == name)
        raise UserError(
            f"{where(row)}: '{name}' was listed before ({where(first)}); remove one of the two rows"
        )


def settle_splits(frame: pd.DataFrame, settings: dict[str, Any], where: Where) -> None:
    """Fill the columns ``split`` and ``drawn`` in place: as listed, or seeded and group-aware where the list has none."""
    if not settings.get("train_on", True):
        frame["split"] = (
            ""  # all images are asked about; a site may be nobody's training set and have a test split only
        )
    listed = frame["split"].str.strip()
    given = listed.map({name: split_of(name) for name in listed.unique()})
    row = _first(given == "")
    if row is not None and (listed != "").any():
        raise UserError(f"{where(row)}: split '{listed[row][:SHOWN]}' is none of {told()}")
    present = set(given.unique()) - {""}
    open_rows = given.isin(["", "train"]).to_numpy()
    shares = {name: settings["split"][name] for name in ("test", "val") if name not in present}
    frame["split"] = given
    frame[DRAWN] = np.where(open_rows & bool(shares), "1", "0")
    if present and shares:
        log.info("the lists have no rows for %s; cutting them from train by the seed", " and ".join(shares))
    if shares:
        rows = frame.loc[open_rows]
        codes = pd.factorize(rows["label"])[0]
        # A listed test set keeps its size; shares are of what is there to be cut.
        parts = splitting.split(codes, rows["group"], rows["filename"], shares, settings["split"]["seed"])
        frame.loc[open_rows, "split"] = parts
    for name in SPLITS:
        if not (frame["split"] == name).any():
            key = f"datasets.{settings['name']}"
            raise UserError(
                f"{key}: no image is in split '{name}'; add rows for it or raise {key}.split.{name}"
            )


def sort_labels(labels: list[str]) -> list[str]:
    """Sorted by code points; by value if all are whole numbers, so that class 10 does not precede class 2."""
    if all(label.isascii() and label.isdigit() for label in labels):
        return sorted(labels, key=lambda label: (int(label), label))
    return sorted(labels)


def index_classes(frame: pd.DataFrame, where: Where) -> pd.DataFrame:
    """Add ``target`` in place (index into the sorted labels of train) and count classes.

    Returns:
        Frame target, label, train, val, test.

    Raises:
        UserError: fewer than two classes, or a label of val or test that train does not know.
    """
    train = frame["split"] == "train"
    labels = sort_labels(frame.loc[train, "label"].unique().tolist())
    if len(labels) < 2:
        raise UserError(
            f"{where(0).rsplit(', line', 1)[0]}: train has the single class '{labels[0]}'; two are needed"
        )
    target = pd.Index(labels).get_indexer(frame["label"])
    row = _first(pd.Series(target < 0))
    if row is not None:
        raise UserError(
            f"{where(row)}: label '{frame['label'][row]}' of split {frame['split'][row]} does not occur "
            "in train; correct it or add training images of that class"
        )
    frame["target"] = target
    counts = {s: np.bincount(target[frame["split"] == s], minlength=len(labels)) for s in SPLITS}
    return pd.DataFrame({"target": np.arange(len(labels)), "label": labels, **counts})


def warn_of_leaks(frame: pd.DataFrame) -> None:
    """Warn when a listed group (a patient) is in more than one split: its images leak."""
    grouped = frame[frame["group"] != ""]
    if grouped.empty:
        return
    spread = grouped[["group", "split"]].drop_duplicates()["group"].value_counts()
    spread = spread[spread > 1]
    if len(spread):
        log.warning(
            "%d group(s) are in more than one split, for example '%s': test numbers will be too good",
            len(spread),
            UserError(spread.index[0][:SHOWN]),  # as text: control characters shown, not sent
        )


def _problem(path: Path) -> str:
    """What is wrong with the place of an image, ``''`` if nothing."""
    try:
        return "" if stat.S_ISREG(path.stat().st_mode) else "is not a file"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def check_first_images(frame: pd.DataFrame, settings: dict[str, Any], root: Path) -> None:
    """Look whether the first image of each split is there (never at all of them: listing must stay cheap)."""
    for split in SPLITS:
        name = frame["filename"].iloc[_first(frame["split"] == split)]
        if problem := _problem(root / name):
            raise UserError(
                f"image {root / name} {problem}; set datasets.{settings['name']}.root to the folder that "
                f"the paths in the list are relative to (it is {root})"
            )


def load(settings: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read, check and index a dataset's lists.

    Returns:
        List (:data:`LIST_COLUMNS` and ``drawn``, in the order of the files) and classes (target, label, train, val, test).

    Raises:
        UserError: any mistake in the lists, with file and line.
    """
    root = root_of(settings)
    frame, where = read_source(settings, root)
    check_text(frame, where)
    tidy_paths(frame)
    check_duplicates(frame, where)
    settle_splits(frame, settings, where)
    classes = index_classes(frame, where)
    warn_of_leaks(frame)
    if settings["format"] == "radimagenet":
        fill_strata(frame)
    if settings["format"] in LIST_FORMATS:
        check_first_images(frame, settings, root)
    return frame[[*LIST_COLUMNS, DRAWN]], classes


def fill_strata(frame: pd.DataFrame) -> None:
    """Fill empty strata in place with modality/anatomy from RadImageNet's paths."""
    known = frame["stratum"]
    found = radimagenet.strata(frame["filename"])
    frame["stratum"] = known.where(known != "", found)
    unknown = int((frame["stratum"] == "").sum())
    if unknown:
        log.info("%d paths do not show CT, MR or US and an anatomy; their stratum stays empty", unknown)
