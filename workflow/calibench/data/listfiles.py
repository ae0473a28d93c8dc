"""The files of a list: their keys in a config, and their columns. No pandas: planning checks both."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from calibench.data.radimagenet import LISTS
from calibench.data.splitnames import SPLITS
from calibench.errors import UserError, did_you_mean

HEAD = 1 << 20  # bytes in which the first line must end
COLUMNS = ("filename", "label", "split", "group", "stratum")
REQUIRED = ("filename", "label")
RENAMED = {"file_name": "filename"}  # Hugging Face's name of the column
LIST_FORMATS = ("radimagenet", "list", "semicolon")
IDX_KEYS = tuple(f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels"))
CIFAR_KEYS = (*SPLITS, *(f"train_{number}" for number in range(1, 6)))
KEYS = dict.fromkeys(LIST_FORMATS, ("list", *SPLITS)) | {
    "radimagenet": SPLITS,
    "npz": ("npz",),
    "idx": IDX_KEYS,
    "cifar": CIFAR_KEYS,
    "embeddings": ("features", "list"),
}


def check_keys(settings: dict[str, Any], name: str) -> None:
    """Raise UserError if ``files`` of a data set has a key that its format does not know, or names no full list."""
    files, kind, where = settings["files"], settings["format"], f"config: datasets.{name}.files"
    known = KEYS.get(kind, ())
    for key in files:
        if key not in known:
            hint = did_you_mean(key, known) if known else "leave `files` out"
            raise UserError(f"{where}: format {kind} has no file '{key}'; {hint}")
    if kind == "embeddings" and "features" not in files:
        raise UserError(
            f"{where}: name the vectors as {{features: x.npz}}, x.parquet, or x.npy with {{list: x.csv}}"
        )
    if kind in ("list", "semicolon") and ("list" in files) == ("train" in files):
        raise UserError(
            f"{where}: name the list as {{list: images.csv}} or {{train: …, val: …, test: …}}; got {sorted(files)}"
        )


def list_files(settings: dict[str, Any]) -> dict[str, str]:
    """Names of the list files by their keys; RadImageNet's names are known."""
    files = dict(settings["files"])
    return {**LISTS, **files} if settings["format"] == "radimagenet" else files


def delimiter_of(data: bytes) -> str:
    """The delimiter of a CSV file: the one that is most frequent in the first line."""
    first = data.split(b"\n", 1)[0]
    return max(",;\t", key=lambda d: first.count(d.encode()))


def first_records(data: bytes, delimiter: str, count: int = 2) -> list[list[str]]:
    """The first records, read from at most the first megabyte (no header is longer)."""
    text = io.StringIO(data[:HEAD].decode("utf-8", errors="ignore"), newline="")
    records = (record for record in csv.reader(text, delimiter=delimiter) if record)
    return [record for record, _ in zip(records, range(count), strict=False)]


def is_headless(head: list[list[str]], delimiter: str) -> bool:
    """Whether these are lines ``path;label`` without a header; the semicolon decides."""
    return delimiter == ";" and "filename" not in head[0] and len(head[0]) == 2


def header(path: Path, head: list[list[str]], required: Sequence[str] = REQUIRED) -> list[str]:
    """Names of the columns; UserError if one is missing or appears twice."""
    names = [RENAMED.get(name.strip(), name.strip()) for name in head[0]]
    for name in names:
        if name in COLUMNS and names.count(name) > 1:
            raise UserError(f"{path}: column '{name}' appears twice; keep one of them")
    missing = [name for name in required if name not in names]
    if missing:
        raise UserError(
            f"{path}: column '{missing[0]}' is missing (the header has: {', '.join(names)}); "
            f"name the columns {', '.join(required)}"
        )
    return names


def column(path: Path, name: str) -> Iterator[str]:
    """The values of one column of a list with a header, stripped; rows are checked when the list is read for good.

    Raises:
        UserError: if there is no such column.
    """
    with open(path, "rb") as stream:
        delimiter = delimiter_of(stream.readline(HEAD))
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as stream:
        records = (record for record in csv.reader(stream, delimiter=delimiter) if record)
        place = header(path, [next(records, [])], (*REQUIRED, name)).index(name)
        yield from (record[place].strip() for record in records if len(record) > place)


def check_columns(path: Path, kind: str) -> None:
    """Check the first line of a list of a data set of this format: UserError if a column is missing or appears twice.

    Reading the list finds all other mistakes.
    """
    with open(path, "rb") as stream:
        data = stream.read(HEAD).removeprefix(b"\xef\xbb\xbf")
    delimiter = delimiter_of(data)
    try:
        head = first_records(data, delimiter, 1)
    except csv.Error:
        return
    if head and b"\0" not in data and not (kind == "semicolon" and is_headless(head, delimiter)):
        header(path, head)
