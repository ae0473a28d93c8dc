"""Match the classes of another site with those of a data set, and leave out copies of training images."""

import logging
from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.data.sites import match
from calibench.data.stored import read_classes, read_store
from calibench.files import write_csv, write_json

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    cli.add_images(parser)
    parser.add_argument("--site", type=Path, required=True, help="images.npy of the other site's store")
    parser.add_argument("--names", nargs=2, default=("source", "site"), help="names of both data sets")
    parser.add_argument("--split", choices=["all", "test"], default="all", help="images of the other site")
    parser.add_argument("--out", type=Path, required=True, help="CSV: row,target,group,stratum")
    parser.add_argument("--out-report", type=Path, required=True, help="JSON: what was matched and left out")
    args = parser.parse_args(argv)
    source, site = (
        (*read_store(path.parent)[:2], read_classes(path.parent / "classes.csv"))
        for path in (args.images, args.site)
    )
    index, report = match(source, site, tuple(args.names), args.split == "all")
    if report["missing"]:
        log.warning("%s has no images of %d classes", report["site"], len(report["missing"]))
    if left_out := sum(report["unknown"].values()):
        log.warning("%d images of unknown classes are left out", left_out)
    if report["copies"]:
        log.warning("%d copies of training images are left out", report["copies"])
    write_csv(index, args.out)
    write_json(args.out_report, report)
