"""Stage list: read a dataset's list files, check every row, and write one table and the class index."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from calibench.cli import run
from calibench.data import listing
from calibench.data.csvfile import write_frame
from calibench.data.settings import code_of, parse
from calibench.files import sha256_of, write_json

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Write list.csv and classes.csv."""
    parser = argparse.ArgumentParser(prog="python -m calibench.list", description=__doc__)
    parser.add_argument("--settings", required=True, help="settings of the dataset, JSON")
    parser.add_argument("--out-list", required=True, help="CSV: filename,label,target,split,group,stratum")
    parser.add_argument("--out-classes", required=True, help="CSV: target,label,train,val,test (counts)")
    parser.add_argument("--inputs", nargs="*", default=[], help="the files that the list is read from")
    parser.add_argument(
        "--out-inputs", help="JSON: SHA-256 of each of --inputs, to notice a changed list, and the code"
    )
    args = parser.parse_args(argv)
    read = {path: sha256_of(path) for path in args.inputs if Path(path).is_file()}
    frame, classes = listing.load(parse(args.settings))
    if args.out_inputs:
        write_json(args.out_inputs, {"inputs": read, "code": code_of(args.settings)})
    write_frame(frame, args.out_list)
    write_frame(classes, args.out_classes)
    counts = ", ".join(f"{classes[split].sum()} {split}" for split in listing.SPLITS)
    log.info("%d images of %d classes: %s", len(frame), len(classes), counts)


if __name__ == "__main__":
    run(main)
