"""The files of a folder tree: the images, and what is passed over, counted so that it can be told."""

import logging
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from calibench.errors import UserError

log = logging.getLogger(__name__)
EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".pgm", ".ppm", ".gif", ".dcm")
LINKED = (
    2  # links to folders are followed so deep (split, class), no deeper: they could lead round in circles
)
SHOWN = 6  # names in a message


@dataclass
class Tree:
    """Paths below a root, with ``/``: images sorted, and how many of what else there is."""

    images: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    passed: Counter[str] = field(default_factory=Counter)


def some(names: list[str]) -> str:
    """The first names of a list, for a message."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + more


def _stop(error: OSError, folder: str) -> NoReturn:
    """A folder that cannot be looked into: its images must not be missing in silence."""
    raise UserError(
        f"{error.filename or folder}: {error.strerror}; make this folder readable or take it out of the dataset, "
        "then start again"
    ) from error


def _look(root: Path, inside: str, tree: Tree) -> list[str]:
    """Sort the entries of one folder into ``tree``; returns the folders to look into."""
    below, depth = [], inside.count("/")
    with os.scandir(root / inside) as entries:
        for entry in entries:
            path, extension = inside + entry.name, os.path.splitext(entry.name)[1].lower()
            if entry.name.startswith("."):
                tree.passed["hidden folders" if entry.is_dir() else "hidden files"] += 1
            elif entry.is_dir(follow_symlinks=depth < LINKED):
                below.append(path + "/")
            elif entry.is_dir():
                tree.passed["links to folders"] += 1
            elif extension in EXTENSIONS:
                tree.images.append(path)
            else:
                tree.passed[f"{extension or 'other'} files"] += 1
    return below


def walk(root: Path) -> Tree:
    """Look through a tree.

    Raises:
        UserError: a folder that cannot be read, or an image whose name is not UTF-8.
    """
    tree, todo = Tree(), [""]
    while todo:
        inside = todo.pop()
        before = len(tree.images)
        try:
            below = _look(root, inside, tree)
        except OSError as error:
            _stop(error, str(root / inside))
        if not below and len(tree.images) == before:
            tree.empty.append(inside)
        todo += below
    tree.images.sort()
    for name in tree.images:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError as error:
            raise UserError(f"{root}: the name {name!r} is not UTF-8; rename it") from error
    if tree.passed:
        told = ", ".join(f"{n} {what}" for what, n in tree.passed.most_common(SHOWN))
        log.info("passed over: %s", UserError(told))  # as text: control characters shown, not sent
    if tree.empty:
        log.info("%d folder(s) without images: %s", len(tree.empty), UserError(some(sorted(tree.empty))))
    return tree
