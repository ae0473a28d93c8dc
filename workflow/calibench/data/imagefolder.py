"""Folder trees with one folder per class, at the top or inside folders for the splits.

The wrong choice would train on wrong labels. So the choice is automatic only where it is certain, and it is logged.
"""

import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from calibench.data import annotated
from calibench.data.splitnames import split_of
from calibench.data.tree import find_images, first_names
from calibench.errors import UserError

log = logging.getLogger(__name__)


@dataclass
class Reading:
    """One way to read a tree: rows (filename, label, split), and how many images of which folders are left out."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def left_out_text(self) -> str:
        """The folders left out, for a message; ``''`` if none."""
        return first_names([f"{folder} ({n} images)" for folder, n in self.left_out.items()])


def _read_splits(images: list[str]) -> Reading:
    """Read ``<split>/<class>/**/<image>``."""
    reading = Reading()
    for name in images:
        top, *inside = name.split("/")
        split = split_of(top) if inside else ""
        if split and len(inside) > 1:
            reading.rows.append((name, inside[0], split))
        else:  # an image directly in a split folder has no class
            reading.left_out[f"{top}/*" if split else top if inside else "*"] += 1
    return reading


def _read_classes(images: list[str]) -> Reading:
    """Read ``<class>/**/<image>``."""
    rows = [(name, name.split("/")[0], "") for name in images if "/" in name]
    return Reading(rows, Counter({"*": len(images) - len(rows)} if len(rows) < len(images) else {}))


def _splits_text(reading: Reading) -> str:
    """The tree read as splits, for a message."""
    images = Counter((name.split("/")[0], split) for name, _, split in reading.rows)
    classes = Counter(
        folder for folder, _ in {(name.split("/")[0], label) for name, label, _ in reading.rows}
    )
    parts = [f"{s} = '{f}' ({classes[f]} classes, {n} images)" for (f, s), n in sorted(images.items())]
    left_out = f"; without {reading.left_out_text()}" if reading.left_out else ""
    return (", ".join(parts) or "no images in <split>/<class>/") + left_out


def _classes_text(reading: Reading) -> str:
    """The tree read as classes, for a message."""
    counts = Counter(label for _, label, _ in reading.rows)
    return f"{len(counts)} classes " + first_names([f"{k} ({n} images)" for k, n in sorted(counts.items())])


def _certain(images: list[str], splits: Reading) -> str:
    """What the first level certainly is: ``splits``, ``classes``, or ``''`` if that is unclear."""
    tops = {name.split("/")[0] for name in images if "/" in name}
    named = [split_of(top) for top in tops if split_of(top)]
    if not named:
        return "classes"
    labels = {split: {label for _, label, s in splits.rows if s == split} for split in named}
    sure = len(named) == len(tops) and len(set(named)) == len(named) and not set(splits.left_out) - {"*"}
    return "splits" if sure and all(labels[s] & labels.get("train", set()) for s in named) else ""


def _check_depth(root: Path, images: list[str], key: str) -> None:
    """Raise UserError for a tree inside one more folder, or with the splits inside the classes."""
    parts = [name.split("/") for name in images if "/" in name]
    tops, second = {p[0] for p in parts}, {p[1] for p in parts if len(p) > 2}
    if any(map(split_of, tops)):
        return
    if len(tops) == 1:
        only = root / tops.pop()
        raise UserError(
            f"{root} has images in the single folder '{only.name}' only; if that folder contains the classes or "
            f"splits, set {key}.root to {only}; if it is a class, set {key}.split.folders to classes"
        )
    if second and all(map(split_of, second)):
        raise UserError(
            f"{root} has splits inside its folders ({first_names(sorted(second))}), but only splits at the top are "
            f"used; move them up to <split>/<class>/, or set {key}.split.folders to classes to ignore them"
        )


def _choose(root: Path, images: list[str], folders: str, key: str) -> Reading:
    """The certain reading, or the one that ``split.folders`` names."""
    splits, classes = _read_splits(images), _read_classes(images)
    if folders == "auto":
        _check_depth(root, images, key)
        folders = _certain(images, splits)
    if not folders:
        raise UserError(
            f"{root} can be read in two ways; set {key}.split.folders to splits for {_splits_text(splits)}, "
            f"or to classes for {_classes_text(classes)}"
        )
    text = _splits_text(splits) if folders == "splits" else _classes_text(classes)
    log.info("read as %s: %s", folders, UserError(text))  # UserError escapes control characters
    return splits if folders == "splits" else classes


def read_list(settings: dict[str, Any], root: Path) -> pd.DataFrame:
    """List a tree: a frame filename, label, split, group, stratum (strings).

    ``root/<split>/<class>/**/<image>`` keeps its splits, in the spellings of :mod:`calibench.data.splitnames`.
    ``root/<class>/**/<image>`` has no splits: they are drawn later. ``split.folders`` says which of the two it is:
    ``splits``, ``classes``, or ``auto`` to decide by the names. :mod:`calibench.data.annotated` reads trees with a
    file of labels.

    Raises:
        UserError: no images in folders, an unreadable folder, a name that is not UTF-8, or, with ``auto``, a tree
            that can be read in both ways.
    """
    images = find_images(root)
    frame = annotated.read(root, images)
    if frame is None:
        key = f"datasets.{settings['name']}"
        reading = _choose(root, images, settings["split"]["folders"], key)
        if not reading.rows:
            raise UserError(f"{root}: no images in folders <class>/ or train/<class>/")
        if reading.left_out:
            text = UserError(reading.left_out_text())
            log.warning("left out, because not in a class folder of a split: %s", text)
        frame = pd.DataFrame(reading.rows, columns=["filename", "label", "split"])
        frame = frame.assign(group="", stratum="")
    return frame.astype("str")
