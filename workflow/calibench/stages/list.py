"""Read a data set's list, check every row, and write one table and the class index."""

import logging
from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.data import listing
from calibench.data.csvfile import write_frame
from calibench.files import sha256_of, write_json
from calibench.planning.configuration import dataset_settings

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--settings", required=True, help="settings of the data set, JSON")
    parser.add_argument(
        "--out-list", required=True, type=Path, help="CSV: filename,label,target,split,group,stratum"
    )
    parser.add_argument(
        "--out-classes", required=True, type=Path, help="CSV: target,label,train,val,test (counts)"
    )
    parser.add_argument("--inputs", nargs="*", default=[], help="the files that the list is read from")
    parser.add_argument(
        "--out-inputs",
        type=Path,
        help="JSON: SHA-256 of each of --inputs, to notice a changed list, and the code",
    )
    args = parser.parse_args(argv)
    read = {path: sha256_of(path) for path in args.inputs if Path(path).is_file()}
    settings, code = dataset_settings(args.settings)
    frame, classes = listing.load(settings)
    if args.out_inputs:
        write_json(args.out_inputs, {"inputs": read, "code": code})
    write_frame(frame, args.out_list)
    write_frame(classes, args.out_classes)
    counts = ", ".join(f"{classes[split].sum()} {split}" for split in listing.SPLITS)
    log.info("%d images of %d classes: %s", len(frame), len(classes), counts)
