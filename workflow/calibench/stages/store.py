"""Decode every sampled image once, resize it, and write all images into one uint8 array for all jobs."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.data.csvfile import read_frame, write_frame
from calibench.data.listing import LIST_COLUMNS
from calibench.data.storing import build
from calibench.files import write_json
from calibench.planning.configuration import dataset_settings

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--settings", required=True, help="settings of the data set, JSON")
    parser.add_argument("--sample", required=True, type=Path, help="sample.csv of the stage sample")
    parser.add_argument("--classes", required=True, type=Path, help="classes.csv of the stage list")
    parser.add_argument("--out", required=True, type=Path, help="uint8 .npy (N,H,W), or (N,H,W,3) in colour")
    parser.add_argument("--out-index", required=True, type=Path, help="CSV: row, and columns of the sample")
    parser.add_argument("--out-report", required=True, type=Path, help="JSON: counts, unreadable files")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="decoding threads")
    args = parser.parse_args(argv)
    settings, code = dataset_settings(args.settings)
    sample = read_frame(args.sample, [*LIST_COLUMNS, "part"])
    classes = read_frame(args.classes, ["target", "label"])
    index, report = build(settings, sample, classes, args.out, args.threads)
    write_frame(index, args.out_index)
    write_json(args.out_report, report | {"code": code})
    counts = report["n"], len(report["unreadable"]), report["images_per_second"]
    log.info("%d images stored, %d unreadable, %.0f/s", *counts)
    if lost := len(report["unreadable"]):
        cli.tell(
            f"datasets.{settings['name']}: {lost} of {len(sample)} images cannot be read and are left out; "
            f"{args.out_report} names them"
        )
