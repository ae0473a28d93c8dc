"""The files of a folder tree: the images, and how many other files there are."""

import logging
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from calibench.errors import UserError

log = logging.getLogger(__name__)
EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".pgm", ".ppm", ".gif", ".dcm")
LINKED = 2  # levels (split, class) at which links to folders are followed; deeper ones could form a loop
SHOWN = 6  # names in a message


def first_names(names: list[str]) -> str:
    """The first names of a list, for a message."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + more


def log_skipped(place: str, skipped: Counter[str]) -> None:
    """Log how many files of which kind are skipped, if any."""
    if skipped:
        counts = ", ".join(f"{n} {kind}" for kind, n in skipped.most_common(SHOWN))
        log.info("skipped in %s: %s", place, UserError(counts))  # UserError escapes control characters


def _sort_entries(
    entries: Iterable[os.DirEntry], folder: str, images: list[str], skipped: Counter[str]
) -> list[str]:
    """Add the entries of one folder to images or skipped; returns the folders inside it."""
    below, follow = [], folder.count("/") < LINKED
    for entry in entries:
        extension = os.path.splitext(entry.name)[1].lower()
        if entry.name.startswith("."):
            skipped["hidden folders" if entry.is_dir() else "hidden files"] += 1
        elif entry.is_dir(follow_symlinks=follow):
            below.append(f"{folder}{entry.name}/")
        elif entry.is_dir():
            skipped["links to folders"] += 1
        elif extension in EXTENSIONS:
            images.append(folder + entry.name)
        else:
            skipped[f"{extension or 'other'} files"] += 1
    return below


def find_images(root: Path) -> list[str]:
    """Paths of all images below a folder, with ``/``, sorted.

    UserError for a folder that cannot be read (the missing images would go unnoticed), or a name that is not UTF-8.
    """
    images: list[str] = []
    skipped: Counter[str] = Counter()
    empty, waiting = [], [""]
    while waiting:
        folder, before = waiting.pop(), len(images)
        try:
            with os.scandir(root / folder) as entries:
                below = _sort_entries(entries, folder, images, skipped)
        except OSError as error:
            raise UserError(
                f"{error.filename or root / folder}: {error.strerror}; make this folder readable or remove it from "
                "the data set, then start again"
            ) from error
        if not below and len(images) == before:
            empty.append(folder)
        waiting += below
    for name in images:
        if not name.isascii() and any("\ud800" <= character <= "\udfff" for character in name):
            raise UserError(f"{root}: the name {name!r} is not UTF-8; rename it")
    log_skipped("the tree", skipped)
    if empty:
        log.info("%d folder(s) without images: %s", len(empty), UserError(first_names(sorted(empty))))
    return sorted(images)
