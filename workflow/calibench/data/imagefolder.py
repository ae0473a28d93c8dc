"""Trees of folders, one folder per class: below split folders, or at the top.

Which of the two a tree is decides what is trained on, so it is read only where it is certain, and told.
"""

import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from calibench.data import annotated
from calibench.data.splitnames import split_of
from calibench.data.tree import some, walk
from calibench.errors import UserError

log = logging.getLogger(__name__)
Row = tuple[str, str, str]  # filename, label, split


@dataclass
class Reading:
    """One way to read a tree: its rows, and how many images of which folder it leaves out."""

    rows: list[Row] = field(default_factory=list)
    out: Counter[str] = field(default_factory=Counter)

    def left_out(self) -> str:
        """What is left out, for a message; ``''`` if nothing."""
        return some([f"{folder} ({n} images)" for folder, n in self.out.items()])


def _as_splits(images: list[str]) -> Reading:
    """``<split>/<class>/**/<image>``."""
    reading = Reading()
    for name in images:
        parts = name.split("/")
        split = split_of(parts[0]) if len(parts) > 1 else ""
        if split and len(parts) > 2:
            reading.rows.append((name, parts[1], split))
        else:  # an image directly in a split folder has no class
            reading.out[f"{parts[0]}/*" if split else parts[0] if len(parts) > 1 else "*"] += 1
    return reading


def _as_classes(images: list[str]) -> Reading:
    """``<class>/**/<image>``."""
    reading = Reading()
    for name in images:
        label, _, inside = name.partition("/")
        if inside:
            reading.rows.append((name, label, ""))
        else:
            reading.out["*"] += 1
    return reading


def _told_splits(reading: Reading) -> str:
    """The first reading in words."""
    parts = []
    for folder in sorted({row[0].split("/")[0] for row in reading.rows}):
        rows = [row for row in reading.rows if row[0].startswith(f"{folder}/")]
        classes = len({label for _, label, _ in rows})
        parts.append(f"{rows[0][2]} = '{folder}' ({classes} classes, {len(rows)} images)")
    out = f"; without {reading.left_out()}" if reading.out else ""
    return (", ".join(parts) or "no images in <split>/<class>/") + out


def _told_classes(reading: Reading) -> str:
    """The second reading in words."""
    counts = Counter(label for _, label, _ in reading.rows)
    return f"{len(counts)} classes " + some([f"{label} ({n} images)" for label, n in sorted(counts.items())])


def _certain(images: list[str], splits: Reading) -> str:
    """Which reading a tree leaves no doubt about: ``splits``, ``classes``, or ``''``."""
    tops = {name.split("/")[0] for name in images if "/" in name}
    named = [split_of(top) for top in tops if split_of(top)]
    if not named:
        return "classes"
    labels = {split: {row[1] for row in splits.rows if row[2] == split} for split in named}
    sure = len(named) == len(tops) and len(set(named)) == len(named) and not set(splits.out) - {"*"}
    return "splits" if sure and all(labels[s] & labels.get("train", set()) for s in named) else ""


def _check_depth(root: Path, images: list[str], key: str) -> None:
    """Refuse trees without splits at the top that have them further down, or look as if one level were too many."""
    parts = [name.split("/") for name in images if "/" in name]
    tops, second = {p[0] for p in parts}, {p[1] for p in parts if len(p) > 2}
    if any(map(split_of, tops)):
        return
    if len(tops) == 1:
        only = root / tops.pop()
        raise UserError(
            f"{root} holds images in the single folder '{only.name}'; if that is no class but holds the classes or "
            f"splits, set {key.removesuffix('split.folders')}root to {only}, else {key} to classes"
        )
    if second and all(map(split_of, second)):
        raise UserError(
            f"{root} has splits inside its folders ({some(sorted(second))}), and they are read at the top only; move "
            f"them up to <split>/<class>/, or set {key} to classes, which ignores them"
        )


def _read(root: Path, images: list[str], folders: str, key: str) -> Reading:
    """The reading that is certain, or the one that the key decides for; see :func:`read_tree`."""
    splits, classes = _as_splits(images), _as_classes(images)
    if folders == "auto":
        _check_depth(root, images, key)
    chosen = _certain(images, splits) if folders == "auto" else folders
    if not chosen:
        raise UserError(
            f"{root} can be read in two ways; set {key} to splits, which reads {_told_splits(splits)}, or to classes, "
            f"which reads {_told_classes(classes)}"
        )
    told = _told_splits(splits) if chosen == "splits" else _told_classes(classes)
    log.info("read as %s: %s", chosen, UserError(told))  # as text: control characters shown, not sent
    return splits if chosen == "splits" else classes


def read_tree(root: Path, folders: str = "auto", key: str = "split.folders") -> pd.DataFrame:
    """List a tree.

    ``root/<split>/<class>/**/<image>`` keeps its splits, in the spellings of :mod:`calibench.data.splitnames`;
    ``root/<class>/**/<image>`` leaves the split empty, to be drawn by the seed. Trees that bring their labels in a
    file are read by :mod:`calibench.data.annotated`.

    Args:
        root: the tree.
        folders: what the first level is: ``splits``, ``classes``, or ``auto`` to tell by the names.
        key: the configuration's key for it, for messages.

    Returns:
        Frame filename, label, split, group, stratum (strings).

    Raises:
        UserError: no images in folders, a folder that cannot be read, a name that is not UTF-8, or, with ``auto``,
            a tree that can be read in both ways.
    """
    images = walk(root).images
    frame = annotated.read(root, images)
    if frame is None:
        reading = _read(root, images, folders, key)
        if not reading.rows:
            raise UserError(
                f"{root}: no images in folders; expected <class>/<image> or train/<class>/<image>"
            )
        if reading.out:
            log.warning(
                "left out, for they are in no class folder of a split: %s", UserError(reading.left_out())
            )
        frame = pd.DataFrame(reading.rows, columns=["filename", "label", "split"], dtype="str")
        frame = frame.assign(group="", stratum="")
    return frame.astype("str")
