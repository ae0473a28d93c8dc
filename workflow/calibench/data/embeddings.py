"""A data set that is given as feature vectors: npz, npy with a CSV file, or Parquet."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from calibench.errors import UserError

FORMAT = "embeddings"
OPTIONAL = ("split", "group", "stratum")
VECTORS = "features"  # the array, or the column, that holds the vectors
DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, pa.ArrowException)


def load(settings: dict[str, Any], root: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Labels and what else is known of each vector, and the vectors.

    Settings: ``files`` is {features: x.npz}, {features: x.parquet}, or {features: x.npy, list: x.csv}. An npz file has
    arrays, a Parquet file has columns ``features``, ``label`` and, where they are known, ``split``, ``group``,
    ``stratum``; the CSV file has all of these except the vectors, one row per vector, in the same order.

    Returns:
        Frame filename (the number of the row), label, split, group, stratum (strings); vectors (N, D), of any float type.

    Raises:
        UserError: naming the file: missing, damaged, pickled, without labels, not finite, of different lengths.
    """
    files, key = settings["files"], f"datasets.{settings['name']}.files"
    path = root / files["features"]
    try:
        columns, vectors = _read(path, root / files["list"] if "list" in files else None, key)
    except FileNotFoundError as error:
        raise UserError(f"{key}: {error.filename} is missing; correct the path") from error
    except DAMAGED as error:
        raise UserError(f"{key}: {path} cannot be read ({error}); nothing was unpickled") from error
    _check(path, columns, vectors)
    frame = pd.DataFrame({name: np.asarray(columns[name]).astype(str) for name in columns}, dtype="str")
    frame = frame.assign(filename=[f"{row:08d}" for row in range(len(vectors))])
    for name in OPTIONAL:
        if name not in frame:
            frame[name] = ""
    return frame[["filename", "label", *OPTIONAL]], vectors


def _read(path: Path, table: Path | None, key: str) -> tuple[dict[str, Any], np.ndarray]:
    """Columns by name, and the vectors."""
    if path.suffix == ".npy":
        if table is None:
            raise UserError(f"{key}: {path.name} has no labels; name the CSV file that has them as list")
        frame = pd.read_csv(table, dtype=str, keep_default_na=False)
        return _known(frame, table), np.load(path, mmap_mode="r", allow_pickle=False)
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            return _known({name: archive[name] for name in archive.files if name != VECTORS}, path), archive[
                VECTORS
            ]
    if path.suffix == ".parquet":
        frame = pd.read_parquet(path)
        vectors = np.stack(frame[VECTORS].to_list()) if len(frame) else np.empty((0, 0), np.float32)
        return _known(frame.drop(columns=VECTORS), path), vectors
    raise UserError(f"{key}: {path.name} is neither .npz nor .npy nor .parquet")


def _known(columns: Any, path: Path) -> dict[str, Any]:
    """The columns that are used.

    Raises:
        UserError: if there are no labels.
    """
    if "label" not in columns:
        raise UserError(f"{path}: 'label' is missing; it has {', '.join(columns) or 'nothing but vectors'}")
    return {name: columns[name] for name in ("label", *OPTIONAL) if name in columns}


def _check(path: Path, columns: dict[str, Any], vectors: np.ndarray) -> None:
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise UserError(
            f"{path}: '{VECTORS}' is {vectors.dtype} {vectors.shape}; float numbers (N, D) are needed"
        )
    for name, values in columns.items():
        if np.shape(values) != (len(vectors),):
            raise UserError(f"{path}: {len(vectors)} vectors, but '{name}' has the shape {np.shape(values)}")
    for start in range(0, len(vectors), 4096):
        bad = ~np.isfinite(vectors[start : start + 4096]).all(axis=1)
        if bad.any():
            raise UserError(f"{path}: vector {start + int(bad.argmax())} is not finite; remove or correct it")


def write(path: Path, vectors: np.ndarray, filenames: list[str]) -> None:
    """Write the vectors of these rows as ``.npy`` float32 (N, D), as a stream."""
    rows = np.array([int(name) for name in filenames], np.int64)
    with open(path, "wb") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(rows), vectors.shape[1])}
        np.lib.format.write_array_header_1_0(stream, header)
        for start in range(0, len(rows), 4096):
            stream.write(np.ascontiguousarray(vectors[rows[start : start + 4096]], "<f4").data)
