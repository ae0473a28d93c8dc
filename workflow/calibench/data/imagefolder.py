"""Trees of folders, one folder per class, under train/val/test or flat."""

import os
from pathlib import Path
from typing import NoReturn

import pandas as pd

from calibench.errors import UserError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".pgm", ".ppm", ".gif", ".dcm")
SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def _stop(error: OSError) -> NoReturn:
    """A folder that cannot be looked into: its images must not be missing in silence."""
    raise UserError(
        f"{error.filename}: {error.strerror}; make this folder readable or take it out of the dataset, "
        "then start again"
    ) from error


def _classes(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        _stop(error)


def _images(folder: Path, root: Path) -> list[str]:
    """Images below a folder, sorted; links to folders are not followed."""
    found = []
    for path, folders, files in os.walk(folder, onerror=_stop):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        inside = os.path.relpath(path, root).replace(os.sep, "/")
        found += [f"{inside}/{f}" for f in files if f.lower().endswith(EXTENSIONS) and not f.startswith(".")]
    return sorted(found)


def read_tree(root: Path) -> pd.DataFrame:
    """List a tree.

    ``root/{train,val,test}/<class>/**/<image>`` keeps these splits (``valid``, ``validation`` are val); else
    ``root/<class>/**/<image>`` leaves the split empty, to be drawn by the seed.

    Returns:
        Frame filename, label, split, group, stratum (strings).

    Raises:
        UserError: no class folders, no images, a folder that cannot be read, or a name that is not UTF-8.
    """
    top = _classes(root)
    listed = any(p.name == "train" for p in top)
    folders = [(c, SPLIT_FOLDERS[s.name]) for s in top if s.name in SPLIT_FOLDERS for c in _classes(s)]
    if not listed:
        folders = [(c, "") for c in top]
    rows = [(name, folder.name, split) for folder, split in folders for name in _images(folder, root)]
    if not rows:
        raise UserError(f"{root}: no images in folders; expected <class>/<image> or train/<class>/<image>")
    for name, label, _ in rows:
        try:
            (name + label).encode("utf-8")
        except UnicodeEncodeError as error:
            raise UserError(f"{root}: the name {name!r} is not UTF-8; rename it") from error
    frame = pd.DataFrame(rows, columns=["filename", "label", "split"], dtype="str")
    return frame.assign(group="", stratum="").astype("str")
