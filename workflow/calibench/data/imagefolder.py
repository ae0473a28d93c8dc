"""Trees with one folder per class, at the top or below folders for the splits.

Which of the two a tree is decides what is trained on. So it is chosen only where there is no doubt, and logged.
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
    """One way to read a tree: rows (filename, label, split), and the folders left out with their number of images."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def left_out_text(self) -> str:
        """What is left out, for a message; ``''`` if nothing."""
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
    """What the tree is with splits at the top, for a message."""
    images = Counter((name.split("/")[0], split) for name, _, split in reading.rows)
    classes = Counter(
        folder for folder, _ in {(name.split("/")[0], label) for name, label, _ in reading.rows}
    )
    parts = [f"{s} = '{f}' ({classes[f]} classes, {n} images)" for (f, s), n in sorted(images.items())]
    left_out = f"; without {reading.left_out_text()}" if reading.left_out else ""
    return (", ".join(parts) or "no images in <split>/<class>/") + left_out


def _classes_text(reading: Reading) -> str:
    """What the tree is with classes at the top, for a message."""
    counts = Counter(label for _, label, _ in reading.rows)
    return f"{len(counts)} classes " + first_names([f"{k} ({n} images)" for k, n in sorted(counts.items())])


def _certain(images: list[str], splits: Reading) -> str:
    """What the first level is without doubt: ``splits``, ``classes``, or ``''``."""
    tops = {name.split("/")[0] for name in images if "/" in name}
    named = [split_of(top) for top in tops if split_of(top)]
    if not named:
        return "classes"
    labels = {split: {label for _, label, s in splits.rows if s == split} for split in named}
    sure = len(named) == len(tops) and len(set(named)) == len(named) and not set(splits.left_out) - {"*"}
    return "splits" if sure and all(labels[s] & labels.get("train", set()) for s in named) else ""


def _check_depth(root: Path, images: list[str], key: str) -> None:
    """Refuse a tree inside one more folder, or has its splits below the classes."""
    parts = [name.split("/") for name in images if "/" in name]
    tops, second = {p[0] for p in parts}, {p[1] for p in parts if len(p) > 2}
    if any(map(split_of, tops)):
        return
    if len(tops) == 1:
        only = root / tops.pop()
        raise UserError(
            f"{root} holds images in the single folder '{only.name}'; if it is not a class but holds the classes or "
            f"splits, set {key}.root to {only}, else set {key}.split.folders to classes"
        )
    if second and all(map(split_of, second)):
        raise UserError(
            f"{root} has splits inside its folders ({first_names(sorted(second))}), but they are read at the top only; "
            f"move them up to <split>/<class>/, or set {key}.split.folders to classes, which ignores them"
        )


def _choose(root: Path, images: list[str], folders: str, key: str) -> Reading:
    """The reading without doubt, or the one that ``split.folders`` names."""
    splits, classes = _read_splits(images), _read_classes(images)
    if folders == "auto":
        _check_depth(root, images, key)
        folders = _certain(images, splits)
    if not folders:
        raise UserError(
            f"{root} can be read in two ways; set {key}.split.folders to splits, which reads {_splits_text(splits)}, "
            f"or to classes, which reads {_classes_text(classes)}"
        )
    text = _splits_text(splits) if folders == "splits" else _classes_text(classes)
    log.info("read as %s: %s", folders, UserError(text))  # UserError escapes control characters
    return splits if folders == "splits" else classes


def read_list(settings: dict[str, Any], root: Path) -> pd.DataFrame:
    """List a tree.

    ``root/<split>/<class>/**/<image>`` keeps its splits, in the spellings of :mod:`calibench.data.splitnames`.
    ``root/<class>/**/<image>`` has no splits: they are drawn later. Trees with their labels in a file are read by
    :mod:`calibench.data.annotated`.

    Settings: ``split.folders`` says what the first level is: ``splits``, ``classes``, or ``auto`` to tell by the names.

    Returns:
        Frame filename, label, split, group, stratum (strings).

    Raises:
        UserError: no images in folders, a folder that cannot be read, a name that is not UTF-8, or, with ``auto``,
            a tree that can be read in both ways.
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
            log.warning("left out, because they are in no class folder of a split: %s", text)
        frame = pd.DataFrame(reading.rows, columns=["filename", "label", "split"])
        frame = frame.assign(group="", stratum="")
    return frame.astype("str")
