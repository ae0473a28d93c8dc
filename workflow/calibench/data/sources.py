"""Where lists come from: the files, trees, arrays and tar files of each format, as one frame of strings."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench.data import arrays, imagefolder, radimagenet, shards
from calibench.data.csvfile import Table, read_table
from calibench.data.listfiles import LIST_FORMATS, check_keys, list_files
from calibench.data.splitnames import SPLITS
from calibench.errors import UserError

Where = Callable[[int], str]  # file and line of a row


def root_of(settings: dict[str, Any]) -> Path:
    """The dataset's folder.

    Raises:
        UserError: naming the key ``datasets.<name>.root`` and, for RadImageNet, how to get access.
    """
    key = f"datasets.{settings['name']}.root"
    if not settings.get("root"):
        raise UserError(f"{key} is not set; set it to the folder that holds the images")
    root = Path(settings["root"]).expanduser()
    if not (os.path.isdir(root) or (settings["format"] == "npz" and os.path.isfile(root))):
        hint = f" ({radimagenet.ACCESS})" if settings["format"] == "radimagenet" else ""
        raise UserError(f"{key} is {root}, which is not there; set it to where the images are{hint}")
    return root


def read_lists(settings: dict[str, Any], root: Path) -> tuple[pd.DataFrame, Where]:
    """Read the list files that the settings name.

    Returns:
        Frame of strings (filename, label, split, group, stratum); a function giving ``file, line`` of a row.
    """
    check_keys(settings, settings["name"])
    files = list_files(settings)
    names = ["list"] if "list" in files else [name for name in SPLITS if name in files]
    tables = []
    for name in names:
        table = read_table(root / files[name], headless=settings["format"] == "semicolon")
        if name != "list":
            table.frame["split"] = name
        tables.append(table)
    frame = pd.concat([t.frame for t in tables], ignore_index=True)
    return frame, _where(tables)


def read_arrays(settings: dict[str, Any], root: Path) -> tuple[pd.DataFrame, Where]:
    """List the images of array formats; see :func:`read_lists`."""
    parts = arrays.load(settings, root)
    rows = [
        (arrays.name_of(split, i), label, split)
        for split, part in parts.items()
        for i, label in enumerate(part.labels)
    ]
    frame = pd.DataFrame(rows, columns=["filename", "label", "split"], dtype="str").assign(
        group="", stratum=""
    )
    return frame, lambda row: f"{root}, {rows[row][0]}"


def read_tree(settings: dict[str, Any], root: Path) -> tuple[pd.DataFrame, Where]:
    """List a tree of folders; see :func:`read_lists`."""
    key = f"datasets.{settings['name']}.split.folders"
    frame = imagefolder.read_tree(root, settings["split"]["folders"], key)
    return frame, lambda row: f"{root}, {frame['filename'][row]}"


def read_shards(settings: dict[str, Any], root: Path) -> tuple[pd.DataFrame, Where]:
    """List the images in tar files; see :func:`read_lists`."""
    frame = shards.read_list(settings, root)
    return frame, lambda row: f"{root}, {frame['filename'][row]}"


SOURCES = dict.fromkeys(LIST_FORMATS, read_lists) | dict.fromkeys(arrays.FORMATS, read_arrays)
SOURCES |= {"imagefolder": read_tree, shards.FORMAT: read_shards}


def read_source(settings: dict[str, Any], root: Path) -> tuple[pd.DataFrame, Where]:
    """List the images of any format; see :func:`read_lists`.

    Raises:
        UserError: if the format is unknown, or anything its reader finds.
    """
    source = SOURCES.get(settings["format"])
    if source is None:
        key = f"datasets.{settings['name']}.format"
        raise UserError(f"{key} '{settings['format']}' is unknown; there are: {', '.join(SOURCES)}")
    return source(settings, root)


def _where(tables: list[Table]) -> Where:
    sizes = [len(t.frame) for t in tables]
    ends = np.cumsum(sizes)
    tables = [replace(t, frame=t.frame.iloc[:0].copy()) for t in tables]  # lines are found in the files again

    def where(row: int) -> str:
        index = int(np.searchsorted(ends, row, side="right"))
        table = tables[index]
        return f"{table.path}, line {table.line(row - (int(ends[index]) - sizes[index]))}"

    return where
