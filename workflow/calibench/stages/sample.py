"""Choose a number of images per class by a seed, and cut validation into select and calibrate."""

import logging
from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.data import sampling
from calibench.data.csvfile import read_frame, write_frame
from calibench.data.listing import LIST_COLUMNS
from calibench.files import write_json
from calibench.planning.configuration import dataset_settings

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--settings", required=True, help="settings of the data set, JSON")
    parser.add_argument("--list", required=True, type=Path, help="list.csv, or audited.csv of the audit")
    parser.add_argument("--out", required=True, type=Path, help="CSV: columns of the list, and part")
    parser.add_argument("--out-report", required=True, type=Path, help="JSON: cap, seed, rare classes")
    args = parser.parse_args(argv)
    settings, code = dataset_settings(args.settings)
    frame, report = sampling.draw(read_frame(args.list, LIST_COLUMNS), settings)
    if short := report["below_cap"]:
        least = min(short, key=lambda entry: entry["n"])
        text = "%d classes have fewer images than sample.per_class, %d; the smallest is '%s' with %d"
        log.warning(text, len(short), report["per_class"], least["label"], least["n"])
    write_frame(frame, args.out)
    write_json(args.out_report, report | {"code": code})
    log.info("%s", ", ".join(f"{sum(report['priors']['after'][part])} {part}" for part in sampling.PARTS))
