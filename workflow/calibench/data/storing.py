"""The store: a sample decoded once, at the stored size, into one uint8 ``.npy`` that every job can map."""

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib import format as npy

from calibench.data.decode import to_stored
from calibench.data.pool import over_chunks
from calibench.data.readers import Reader, open_reader
from calibench.data.unreadable import Unreadable
from calibench.errors import UserError
from calibench.files import atomic_path

log = logging.getLogger(__name__)
SHOWN = 20  # unreadable files told one by one; the rest is counted


def _write_header(stream, shape: tuple[int, ...]) -> int:
    """Write the header; its length does not depend on the number of rows (numpy leaves room to grow)."""
    stream.seek(0)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(stream, header)
    stream.flush()
    return stream.tell()


def _write_all(handle: int, block: np.ndarray, offset: int) -> None:
    data = memoryview(block).cast("B")
    while data:
        written = os.pwrite(handle, data, offset)
        data, offset = data[written:], offset + written


def shape_of(n: int, store: dict[str, Any]) -> tuple[int, ...]:
    """Shape of images.npy: (N, size, size), or (N, size, size, 3) in colour."""
    size = store["size"]
    return (n, size, size) if store["colour"] == "grey" else (n, size, size, 3)


def decode_into(
    path: Path, filenames: Sequence[str], reader: Reader, store: dict[str, Any], threads: int
) -> list[tuple[int, str]]:
    """Decode all files into ``path``, a ``.npy`` whose row i is file i; rows that failed are left as zeros.

    Written with ``pwrite`` rather than through a memory map: a full disk is then an error, not a bus error.

    Returns:
        (row, why) of each unreadable file, in order.
    """
    shape = shape_of(len(filenames), store)
    row_bytes = int(np.prod(shape[1:]))
    with open(path, "wb") as stream:
        start = _write_header(stream, shape)
        handle = stream.fileno()

        def work(first: int, last: int) -> list[tuple[int, str]]:
            block = np.zeros((last - first, *shape[1:]), dtype=np.uint8)
            failed = []
            for row in range(first, last):
                try:
                    block[row - first] = to_stored(reader.read(filenames[row]), store)
                except Unreadable as why:
                    failed.append((row, str(why)))
            _write_all(handle, block, start + first * row_bytes)
            return failed

        return [item for failed in over_chunks(work, len(filenames), threads, "store") for item in failed]


def compact(path: Path, keep: np.ndarray, store: dict[str, Any]) -> None:
    """Close the gaps in place: keep the rows where ``keep`` (N,) is True, in order, and cut the file."""
    kept = np.flatnonzero(keep)
    images = np.load(path, mmap_mode="r+")
    offset, row_bytes = images.offset, int(np.prod(images.shape[1:]))
    for start in range(0, len(kept), 1024):
        rows = kept[start : start + 1024]
        images[start : start + len(rows)] = images[rows]
    images.flush()
    del images
    with open(path, "r+b") as stream:
        if _write_header(stream, shape_of(len(kept), store)) != offset:
            raise RuntimeError("the header of the .npy changed its length")
        stream.truncate(offset + len(kept) * row_bytes)


def report_unreadable(
    failed: list[tuple[str, str]], total: int, settings: dict[str, Any], stage: str
) -> None:
    """Log one line per unreadable file (the first 20) and stop if they are not to be dropped, or too many.

    Args:
        failed: name and reason of each unreadable file.
        total: number of files that were to be read.
        settings: those of the data set.
        stage: ``audit`` or ``store``; its ``unreadable`` says what is done.

    Raises:
        UserError: in ``stop``, if any file failed; in ``drop``, if more than ``unreadable_share`` did.
    """
    key = f"datasets.{settings['name']}"
    for filename, why in failed[:SHOWN]:
        log.warning("%s", UserError(f"{filename}: {why}"))  # as text: control characters shown, not sent
    if len(failed) > SHOWN:
        log.warning("… and %d more unreadable images", len(failed) - SHOWN)
    if failed and settings[stage]["unreadable"] == "stop":
        raise UserError(
            f"{len(failed)} image(s) cannot be read, the first is {failed[0][0]}: {failed[0][1]}; "
            f"mend or remove them, or set {key}.{stage}.unreadable to drop"
        )
    if len(failed) > settings["unreadable_share"] * total:
        raise UserError(
            f"{len(failed)} of {total} images of {key} cannot be read, the first is {failed[0][0]}: {failed[0][1]}; "
            f"mend them, take them off the list, or raise {key}.unreadable_share ({settings['unreadable_share']:g})"
        )


def _check_parts(index: pd.DataFrame, classes: pd.DataFrame, key: str) -> None:
    """After dropping: every part keeps images, every class keeps training images."""
    if not (index["part"] == "train").any():
        raise UserError(f"no training image is left after dropping unreadable ones; check {key}.root")
    present = set(index["target"][index["part"] == "train"])
    for target, label in zip(classes["target"], classes["label"], strict=True):
        if target not in present:
            raise UserError(
                f"class '{label}' has no readable training image left; mend its files or unlist the class"
            )


def build(
    settings: dict[str, Any], sample: pd.DataFrame, classes: pd.DataFrame, out: Path, threads: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Decode a sample into ``out``.

    Returns:
        Index (``row`` and the sample's columns) and report (n, size, colour, unreadable, seconds, rate).

    Raises:
        UserError: unreadable files when they are to stop the run, or a class without images when dropped.
    """
    store, key = settings["store"], f"datasets.{settings['name']}"
    names = sample["filename"].tolist()
    reader = open_reader(settings)
    begun = time.monotonic()
    with atomic_path(out) as part:
        failed = decode_into(part, names, reader, store, threads)
        seconds = time.monotonic() - begun
        told = [(names[row], why) for row, why in failed]
        report_unreadable(told, len(names), settings, "store")
        keep = np.ones(len(names), dtype=bool)
        keep[[row for row, _ in failed]] = False
        index = sample[keep].reset_index(drop=True)
        if failed:
            _check_parts(index, classes, key)
            compact(part, keep, store)
    index.insert(0, "row", np.arange(len(index)))
    report = {
        "n": len(index),
        "size": store["size"],
        "colour": store["colour"],
        "unreadable": [{"filename": name, "why": why} for name, why in told],
        "seconds": round(seconds, 3),
        "images_per_second": round(len(names) / max(seconds, 1e-9), 1),
    }
    return index, report
