"""Reading a user's CSV strictly and fast, with the line of every mistake; reading and writing our own tables."""

import codecs
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from calibench.errors import UserError
from calibench.files import atomic_path

csv.field_size_limit(1 << 30)  # Python's limit would hide the line of a long field; listing has its own limit
FIRST_LINE = 1 << 20  # bytes in which the first line must end
REQUIRED = ("filename", "label")
COLUMNS = (*REQUIRED, "split", "group", "stratum")
RENAMED = {"file_name": "filename"}  # Hugging Face's name of the column
INTEGERS = dict.fromkeys(("target", "row"), "int64")  # columns of our own tables; all others are strings


@dataclass(frozen=True)
class Table:
    """Rows of one CSV file; ``frame`` has the columns COLUMNS as strings, ``''`` where the file has no such column."""

    path: Path
    frame: pd.DataFrame
    has_header: bool
    delimiter: str

    def line(self, row: int) -> int:
        """Line (from 1) of a row (from 0), found by reading again: blank lines and quoted line breaks count."""
        with open(self.path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=self.delimiter)
            lines = (reader.line_num for record in reader if record)
            return next(line for i, line in enumerate(lines) if i == row + self.has_header)


def read_utf8(path: Path) -> bytes:
    """Content of a UTF-8 file without its byte-order mark.

    Raises:
        UserError: missing, NUL bytes, or another encoding; names the line and the byte.
    """
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
        raise UserError(
            f"{path}, line {line}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8"
        ) from error
    return data.removeprefix(codecs.BOM_UTF8)


def _first_records(data: bytes) -> tuple[list[list[str]], str]:
    """The first one or two records, looked for in the first megabyte, and the delimiter."""
    line = data.split(b"\n", 1)[0]
    delimiter = max(",;\t", key=lambda d: line.count(d.encode()))
    text = io.StringIO(data[:FIRST_LINE].decode("utf-8", errors="ignore"), newline="")
    records = (record for record in csv.reader(text, delimiter=delimiter) if record)
    return [record for record, _ in zip(records, range(2), strict=False)], delimiter


def first_record(path: Path) -> list[str]:
    """The fields of a file's first record; none for an empty file.

    Raises:
        UserError: see :func:`read_utf8`.
    """
    records, _ = _first_records(read_utf8(path))
    return [name.strip() for name in records[0]] if records else []


def _header(path: Path, record: list[str]) -> list[str]:
    names = [RENAMED.get(name.strip(), name.strip()) for name in record]
    for name in COLUMNS:
        if names.count(name) > 1:
            raise UserError(f"{path}: column '{name}' appears twice; keep one of them")
        if name in REQUIRED and name not in names:
            raise UserError(
                f"{path}: column '{name}' is missing (the header has: {', '.join(names)}); "
                f"name the columns {', '.join(REQUIRED)}"
            )
    return names


def _check_widths(path: Path, data: bytes, delimiter: str, width: int) -> None:
    """Raise for the first line whose number of fields is not the header's."""
    reader = csv.reader(io.StringIO(data.decode("utf-8"), newline=""), delimiter=delimiter)
    try:
        for record in reader:
            if record and len(record) != width:
                raise UserError(
                    f"{path}, line {reader.line_num}: {len(record)} fields where the first line has {width}"
                )
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}") from error


def read_table(path: Path, *, headless: bool = False) -> Table:
    """Read a list of images.

    Args:
        path: a UTF-8 file, separated by commas, semicolons or tabs; byte-order mark, CRLF and quotes are fine.
        headless: allow lines ``path;label`` without a header, recognised by the semicolon.

    Raises:
        UserError: naming file and line: encoding, columns, lines with too many or too few fields, no rows.
    """
    data = read_utf8(path)
    first, delimiter = _first_records(data)
    if not first:
        raise UserError(f"{path} is empty; it needs a header ({','.join(REQUIRED)}) and one row per image")
    if len(first) == 1 and len(data) > FIRST_LINE:
        raise UserError(
            f"{path}, line 1: no end within {FIRST_LINE} bytes; is a quote left open, or is this not a list?"
        )
    has_header = not (headless and delimiter == ";" and "filename" not in first[0] and len(first[0]) == 2)
    names = _header(path, first[0]) if has_header else list(REQUIRED)
    if has_header and len(first) == 1:
        raise UserError(f"{path} has a header only; it needs one row per image")
    options = {"sep": delimiter, "names": range(len(names)), "header": None, "dtype": str}
    options |= {"na_filter": False, "index_col": False, "on_bad_lines": "error", "encoding": "utf-8"}
    try:
        frame = pd.read_csv(io.BytesIO(data), **options)
    except ValueError as error:  # pandas' ParserError is one of them
        _check_widths(path, data, delimiter, len(names))
        if "EOF inside string" in str(error):
            raise UserError(f"{path}: a quote is opened and never closed; close or remove it") from error
        raise UserError(f"{path} cannot be parsed: {error}") from error
    frame = frame.iloc[int(has_header) :].reset_index(drop=True)
    if len(first[int(has_header)]) != len(names) or (frame[len(names) - 1] == "").any():
        _check_widths(path, data, delimiter, len(names))  # pandas accepts lines with too few fields
    frame.columns = names
    absent = pd.Series("", index=frame.index, dtype="str")
    return Table(
        path, pd.DataFrame({n: frame[n] if n in names else absent for n in COLUMNS}), has_header, delimiter
    )


def read_frame(path: str | Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a CSV that another stage wrote: strings, and ``target`` and ``row`` as integers.

    Raises:
        UserError: if the file or one of ``columns`` is missing.
    """
    try:
        header = pd.read_csv(path, nrows=0).columns
        if missing := [name for name in columns if name not in header]:
            raise UserError(
                f"{path} lacks the column '{missing[0]}'; delete it and run the stage that writes it again"
            )
        types = {name: INTEGERS.get(name, "str") for name in header}
        return pd.read_csv(path, dtype=types, keep_default_na=False, na_values=dict.fromkeys(INTEGERS, ""))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; run the stage that writes it first") from error
    except ValueError as error:
        raise UserError(f"{path} cannot be read ({error}); delete it and run again") from error


def write_frame(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a long table as CSV (UTF-8, LF), atomically; ten times as fast as pandas.

    Strings are quoted in files where one of them needs it, and in no other file.
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
