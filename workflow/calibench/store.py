"""Stage store: decode every sampled image once, at the stored size, into one memory-mappable uint8 array."""

import argparse
import logging
import os
import time
from collections.abc import Sequence

import numpy as np

from calibench.cli import run
from calibench.data import storing
from calibench.data.csvfile import read_frame, write_frame
from calibench.data.listing import LIST_COLUMNS
from calibench.data.readers import open_reader
from calibench.data.settings import code_of, parse
from calibench.errors import UserError
from calibench.files import atomic_path, write_json

log = logging.getLogger(__name__)


def _check_parts(index, classes, key: str) -> None:
    """After dropping: every part keeps images, every class keeps training images."""
    if not (index["part"] == "train").any():
        raise UserError(f"no training image is left after dropping unreadable ones; check {key}.root")
    present = set(index["target"][index["part"] == "train"])
    for target, label in zip(classes["target"], classes["label"], strict=True):
        if target not in present:
            raise UserError(
                f"class '{label}' has no readable training image left; mend its files or unlist the class"
            )


def build(settings: dict, sample, classes, out, threads: int) -> tuple:
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
        failed = storing.decode_into(part, names, reader, store, threads)
        seconds = time.monotonic() - begun
        told = [(names[row], why) for row, why in failed]
        storing.report_unreadable(told, store["unreadable"], f"{key}.store.unreadable")
        keep = np.ones(len(names), dtype=bool)
        keep[[row for row, _ in failed]] = False
        index = sample[keep].reset_index(drop=True)
        if failed:
            _check_parts(index, classes, key)
            storing.compact(part, keep, store)
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


def main(argv: Sequence[str] | None = None) -> None:
    """Write images.npy, index.csv and store.json."""
    parser = argparse.ArgumentParser(prog="python -m calibench.store", description=__doc__)
    parser.add_argument("--settings", required=True, help="settings of the dataset, JSON")
    parser.add_argument("--sample", required=True, help="sample.csv of the stage sample")
    parser.add_argument("--classes", required=True, help="classes.csv of the stage list")
    parser.add_argument("--out", required=True, help="uint8 .npy (N,H,W), or (N,H,W,3) in colour")
    parser.add_argument("--out-index", required=True, help="CSV: row and the sample's columns")
    parser.add_argument("--out-report", required=True, help="JSON: counts, unreadable files, throughput")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="decoding threads")
    args = parser.parse_args(argv)
    settings = parse(args.settings)
    sample = read_frame(args.sample, [*LIST_COLUMNS, "part"])
    classes = read_frame(args.classes, ["target", "label"])
    index, report = build(settings, sample, classes, args.out, args.threads)
    write_frame(index, args.out_index)
    write_json(args.out_report, report | {"code": code_of(args.settings)})
    log.info(
        "%d images stored, %d unreadable, %.0f/s",
        report["n"],
        len(report["unreadable"]),
        report["images_per_second"],
    )


if __name__ == "__main__":
    run(main)
