"""Stage list: read a dataset's list files, check every row, write one table and the class index; or show it all."""

import argparse
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from calibench.cli import run
from calibench.data import listing, overview
from calibench.data.csvfile import write_frame
from calibench.data.settings import code_of, parse
from calibench.files import sha256_of, write_json

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Write list.csv and classes.csv, or a picture of the data set."""
    parser = argparse.ArgumentParser(prog="python -m calibench.list", description=__doc__)
    parser.add_argument("--settings", required=True, help="settings of the dataset, JSON")
    parser.add_argument("--out-list", help="CSV: filename,label,target,split,group,stratum")
    parser.add_argument("--out-classes", help="CSV: target,label,train,val,test (counts)")
    parser.add_argument("--inputs", nargs="*", default=[], help="the files that the list is read from")
    parser.add_argument(
        "--out-inputs", help="JSON: SHA-256 of each of --inputs, to notice a changed list, and the code"
    )
    parser.add_argument(
        "--show", type=Path, help="PNG: ten thumbnails per class; counts, sizes and modes go to the terminal"
    )
    args = parser.parse_args(argv)
    if not args.show and not (args.out_list and args.out_classes):
        parser.error("give --out-list and --out-classes, or --show")
    read = {path: sha256_of(path) for path in args.inputs if Path(path).is_file()}
    settings = parse(args.settings)
    frame, classes = listing.load(settings)
    if args.out_inputs:
        write_json(args.out_inputs, {"inputs": read, "code": code_of(args.settings)})
    if args.out_list:
        write_frame(frame, args.out_list)
    if args.out_classes:
        write_frame(classes, args.out_classes)
    counts = ", ".join(f"{classes[split].sum()} {split}" for split in listing.SPLITS)
    log.info("%d images of %d classes: %s", len(frame), len(classes), counts)
    if args.show:
        for lines in overview.show(settings, frame, classes, args.show, os.cpu_count() or 1):
            print(lines)


if __name__ == "__main__":
    run(main)
