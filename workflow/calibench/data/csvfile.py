"""Read users' CSV files strictly and fast, with the line of every mistake; read and write our own tables."""

import codecs
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from calibench.data.listfiles import (
    COLUMNS,
    HEAD,
    REQUIRED,
    delimiter_of,
    first_records,
    header,
    is_headless,
)
from calibench.errors import UserError
from calibench.files import atomic_path

csv.field_size_limit(1 << 30)  # a long field is an error of listing, which names the line
INTEGERS = dict.fromkeys(("target", "row"), "int64")  # columns of our own tables; all others are strings


@dataclass(frozen=True)
class Table:
    """Rows of one CSV file; ``frame`` has the columns COLUMNS as strings, ``''`` where the file has no such column."""

    path: Path
    frame: pd.DataFrame
    has_header: bool
    delimiter: str

    def line(self, row: int) -> int:
        """Line (from 1) of a row (from 0); reads the file again, as blank lines and quoted line breaks count."""
        with open(self.path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=self.delimiter)
            lines = (reader.line_num for record in reader if record)
            return next(line for i, line in enumerate(lines) if i == row + self.has_header)


def read_utf8(path: Path) -> bytes:
    """Content of a UTF-8 file without its byte-order mark; UserError if missing, or not UTF-8 (with line and byte)."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; check the data set's root and files in the config") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    if (nul := data.find(b"\0")) >= 0:
        line = data.count(b"\n", 0, nul) + 1
        raise UserError(f"{path}, line {line}: a NUL byte; save the file as plain UTF-8 text (not UTF-16)")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start]
        raise UserError(f"{path}, line {line}: byte 0x{byte:02x} is not UTF-8; save it as UTF-8") from error
    return data.removeprefix(codecs.BOM_UTF8)


def first_record(path: Path) -> list[str]:
    """The fields of the first record of a file; none for an empty file."""
    data = read_utf8(path)
    head = first_records(data, delimiter_of(data), 1)
    return [name.strip() for name in head[0]] if head else []


def _check_widths(path: Path, data: bytes, delimiter: str, width: int) -> None:
    """Raise UserError for the first line that does not have as many fields as the header."""
    reader = csv.reader(io.StringIO(data.decode("utf-8"), newline=""), delimiter=delimiter)
    try:
        for record in reader:
            if record and len(record) != width:
                raise UserError(
                    f"{path}, line {reader.line_num}: {len(record)} fields; the first line has {width}"
                )
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}") from error


def read_table(path: Path, *, headless: bool = False) -> Table:
    """Read a list of images from a UTF-8 file, separated by commas, semicolons or tabs.

    Byte-order mark, CRLF and quotes are allowed; with ``headless`` also lines ``path;label`` without a header. UserError
    with file and line for a wrong encoding, missing columns, too many or too few fields, or no rows.
    """
    data = read_utf8(path)
    delimiter = delimiter_of(data)
    head = first_records(data, delimiter)
    if not head:
        raise UserError(f"{path} is empty; it needs a header ({','.join(REQUIRED)}) and one row per image")
    if len(head) == 1 and len(data) > HEAD:
        raise UserError(f"{path}, line 1 is longer than {HEAD} bytes; is a quote not closed?")
    bare = headless and is_headless(head, delimiter)
    names = [*REQUIRED] if bare else header(path, head)
    if len(head) + bare < 2:
        raise UserError(f"{path} has only a header; it needs one row per image")
    options = {"sep": delimiter, "names": range(len(names)), "header": None, "dtype": str}
    options |= {"na_filter": False, "index_col": False, "on_bad_lines": "error", "encoding": "utf-8"}
    try:
        frame = pd.read_csv(io.BytesIO(data), **options)
    except ValueError as error:  # pandas' ParserError is one of them
        _check_widths(path, data, delimiter, len(names))
        if "EOF inside string" in str(error):
            raise UserError(f"{path}: a quote is never closed; close or remove it") from error
        raise UserError(f"{path} cannot be parsed: {error}") from error
    frame = frame.iloc[int(not bare) :].reset_index(drop=True)
    if len(head[int(not bare)]) != len(names) or (frame[len(names) - 1] == "").any():
        _check_widths(path, data, delimiter, len(names))  # pandas accepts lines with too few fields
    frame.columns = names
    absent = pd.Series("", index=frame.index, dtype="str")
    frame = pd.DataFrame({name: frame[name] if name in names else absent for name in COLUMNS})
    return Table(path, frame, not bare, delimiter)


def read_frame(path: str | Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a CSV of another stage: strings, but ``target`` and ``row`` as integers; UserError if a column is missing."""
    try:
        header = pd.read_csv(path, nrows=0).columns
        if missing := [name for name in columns if name not in header]:
            raise UserError(f"{path} has no column '{missing[0]}'; delete it and run again")
        types = {name: INTEGERS.get(name, "str") for name in header}
        return pd.read_csv(path, dtype=types, keep_default_na=False, na_values=dict.fromkeys(INTEGERS, ""))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; run the stage that writes it first") from error
    except ValueError as error:
        raise UserError(f"{path} cannot be read ({error}); delete it and run again") from error


def write_frame(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a long table as CSV (UTF-8, LF), atomically; ten times as fast as pandas.

    If one string of the file needs quotes, all of them get quotes.
    """
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for style in ("none", "needed"):
        options = pa.csv.WriteOptions(include_header=False, quoting_style=style)
        try:
            with atomic_path(path) as part, open(part, "wb") as stream:
                stream.write((",".join(frame.columns) + "\n").encode())
                pa.csv.write_csv(table, stream, options)
            return
        except pa.ArrowInvalid:
            if style == "needed":
                raise
