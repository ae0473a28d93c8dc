"""Read the list of a data set in any format: lists, folder trees, arrays, tar files."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from calibench.data import arrays, embeddings, imagefolder, radimagenet, shards
from calibench.data.csvfile import Table, read_table
from calibench.data.listfiles import LIST_FORMATS, check_keys, list_files
from calibench.data.splitnames import SPLITS
from calibench.errors import UserError

Where = Callable[[int], str]  # file and line of a row, for messages


def root_of(settings: dict[str, Any]) -> Path:
    """The folder (or npz file) of a data set; UserError if it does not exist."""
    root = Path(settings["root"]).expanduser()
    if not (os.path.isdir(root) or (settings["format"] == "npz" and os.path.isfile(root))):
        hint = f" ({radimagenet.ACCESS})" if settings["format"] == "radimagenet" else ""
        raise UserError(
            f"datasets.{settings['name']}.root: {root} does not exist; set it to the folder of the images{hint}"
        )
    return root


def _where(tables: list[Table], sizes: list[int]) -> Where:
    def where(row: int) -> str:
        for table, size in zip(tables, sizes, strict=True):
            if row < size:
                return f"{table.path}, line {table.line(row)}"
            row -= size
        raise IndexError(row)

    return where


def _read_lists(settings: dict[str, Any], root: Path) -> tuple[pd.DataFrame, Where]:
    check_keys(settings, settings["name"])
    files = list_files(settings)
    names = ["list"] if "list" in files else [name for name in SPLITS if name in files]
    tables = []
    for name in names:
        table = read_table(root / files[name], headless=settings["format"] == "semicolon")
        if name != "list":
            table.frame["split"] = name
        tables.append(table)
    frames = [table.frame for table in tables]
    without_rows = [replace(table, frame=table.frame.iloc[:0].copy()) for table in tables]  # to save memory
    return pd.concat(frames, ignore_index=True), _where(without_rows, [len(frame) for frame in frames])


def read_source(settings: dict[str, Any], root: Path) -> tuple[pd.DataFrame, Where]:
    """The images of a data set, a frame filename, label, split, group, stratum (strings); file and line of each row.

    UserError for a mistake, with the file and, if it has lines, the line.
    """
    kind = settings["format"]
    if kind in LIST_FORMATS:
        return _read_lists(settings, root)
    if kind in arrays.FORMATS:
        frame = arrays.read_list(settings, root)
    elif kind == embeddings.FORMAT:
        frame = embeddings.load(settings, root)[0]
    elif kind == shards.FORMAT:
        frame = shards.read_list(settings, root)
    else:
        frame = imagefolder.read_list(settings, root)
    return frame, lambda row: f"{root}, {frame['filename'][row]}"
