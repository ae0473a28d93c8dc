"""The store: all images of a sample, decoded once to the stored size, in one uint8 ``.npy`` file that all jobs map."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib import format as npy

from calibench.data import embeddings
from calibench.data.decode import to_stored
from calibench.data.pool import over_chunks
from calibench.data.readers import Reader, open_reader
from calibench.data.sources import root_of
from calibench.data.unreadable import Unreadable
from calibench.errors import UserError
from calibench.files import atomic_path

log = logging.getLogger(__name__)
SHOWN = 20  # unreadable files with a line of their own in the log


def write_images(
    path: Path, filenames: Sequence[str], reader: Reader, store: dict[str, Any], threads: int
) -> dict[int, str]:
    """Decode files into ``path``: the readable ones as a ``.npy`` (N, size, size) or, in colour, (N, size, size, 3).

    Written as a stream: with a memory map, a full disk would kill the process without a message. Returns {place in
    ``filenames``: reason} of the unreadable files.
    """
    shape = (store["size"],) * 2 + (() if store["colour"] == "grey" else (3,))

    def work(start: int, stop: int) -> tuple[np.ndarray, dict[int, str]]:
        images, failed = np.empty((stop - start, *shape), np.uint8), {}
        for row in range(start, stop):
            try:
                images[row - start - len(failed)] = to_stored(reader.read(filenames[row]), store)
            except Unreadable as error:
                failed[row] = str(error)
        return images[: stop - start - len(failed)], failed

    unreadable: dict[int, str] = {}
    with open(path, "wb") as stream:

        def write_header(count: int) -> None:
            stream.seek(0)
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
            npy.write_array_header_1_0(stream, header)  # numpy pads it to the same length for every count

        write_header(len(filenames))
        for images, failed in over_chunks(work, len(filenames), threads, "store"):
            stream.write(images)
            unreadable |= failed
        if unreadable:
            write_header(len(filenames) - len(unreadable))
    return unreadable


def report_unreadable(unreadable: dict[str, str], total: int, settings: dict[str, Any], stage: str) -> None:
    """Log the first unreadable files, one line each.

    Args:
        unreadable: name → reason.
        total: number of all files.
        settings: of the data set.
        stage: ``audit`` or ``store``, the part of the settings whose ``unreadable`` is stop or drop.

    Raises:
        UserError: stop and one file is unreadable; drop and more are than ``unreadable_share`` of all.
    """
    key = f"datasets.{settings['name']}"
    for filename, reason in list(unreadable.items())[:SHOWN]:
        log.warning("%s", UserError(f"{filename}: {reason}"))  # UserError escapes control characters
    if len(unreadable) > SHOWN:
        log.warning("… and %d more unreadable images", len(unreadable) - SHOWN)
    if not unreadable:
        return
    filename, reason = next(iter(unreadable.items()))
    if settings[stage]["unreadable"] == "stop":
        raise UserError(
            f"{len(unreadable)} image(s) cannot be read, the first is {filename}: {reason}; "
            f"repair them, remove them, or set {key}.{stage}.unreadable to drop"
        )
    if len(unreadable) > settings["unreadable_share"] * total:
        raise UserError(
            f"{len(unreadable)} of {total} images of {key} cannot be read, the first is {filename}: {reason}; repair "
            f"them, remove them from the list, or raise {key}.unreadable_share ({settings['unreadable_share']:g})"
        )


def _check_train(index: pd.DataFrame, classes: pd.DataFrame, key: str) -> None:
    """Raise UserError if a class has no training image left without the unreadable ones."""
    present = set(index["target"][index["part"] == "train"])
    if not present:
        raise UserError(f"no training image can be read; check {key}.root")
    for target, label in zip(classes["target"], classes["label"], strict=True):
        if target not in present:
            raise UserError(
                f"class '{label}' has no readable training image; repair its files or remove the class from the list"
            )


def _embeddings(
    settings: dict[str, Any], sample: pd.DataFrame, out: Path
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Write the vectors of a sample into ``out``, float32 (N, D); index and report as of images."""
    begun = time.monotonic()
    vectors = embeddings.load(settings, root_of(settings))[1]
    with atomic_path(out) as part:
        embeddings.write(part, vectors, sample["filename"].tolist())
    index = sample.reset_index(drop=True)
    index.insert(0, "row", np.arange(len(index)))
    seconds = time.monotonic() - begun
    report = {"n": len(index), "size": vectors.shape[1], "colour": "features", "unreadable": []}
    rate = {"seconds": round(seconds, 3), "images_per_second": round(len(index) / max(seconds, 1e-9), 1)}
    return index, report | rate


def build(
    settings: dict[str, Any], sample: pd.DataFrame, classes: pd.DataFrame, out: Path, threads: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Decode a sample into ``out``.

    Returns:
        Index (``row`` and the columns of the sample) and report (n, size, colour, unreadable, seconds, rate).

    Raises:
        UserError: as in :func:`report_unreadable`, or a class has no readable training image.
    """
    if settings["format"] == embeddings.FORMAT:
        return _embeddings(settings, sample, out)
    store, key, names = settings["store"], f"datasets.{settings['name']}", sample["filename"].tolist()
    reader = open_reader(settings)
    begun = time.monotonic()
    with atomic_path(out) as part:
        failed = write_images(part, names, reader, store, threads)
        seconds = time.monotonic() - begun
        unreadable = {names[row]: reason for row, reason in failed.items()}
        report_unreadable(unreadable, len(names), settings, "store")
        index = sample.drop(index=sample.index[list(failed)]).reset_index(drop=True)
        if failed:
            _check_train(index, classes, key)
    index.insert(0, "row", np.arange(len(index)))
    report = {
        "n": len(index),
        "size": store["size"],
        "colour": store["colour"],
        "unreadable": [{"filename": name, "why": reason} for name, reason in unreadable.items()],
        "seconds": round(seconds, 3),
        "images_per_second": round(len(names) / max(seconds, 1e-9), 1),
    }
    return index, report
