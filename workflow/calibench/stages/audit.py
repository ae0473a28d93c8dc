"""Read every image once; find unreadable and blank images, copies, series, label conflicts and leaks."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.data import auditing, auditreport
from calibench.data.csvfile import read_frame, write_frame
from calibench.data.listing import DRAWN, LIST_COLUMNS
from calibench.data.readers import open_reader
from calibench.files import write_json
from calibench.planning.configuration import dataset_settings

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--settings", required=True, help="settings of the data set, JSON")
    parser.add_argument("--list", required=True, type=Path, help="list.csv of the stage list")
    parser.add_argument("--out-table", required=True, type=Path, help="CSV: findings, one row per image")
    parser.add_argument("--out-list", required=True, type=Path, help="CSV: the list without dropped images")
    parser.add_argument("--out-report", required=True, type=Path, help="JSON: counts, error floor, examples")
    parser.add_argument("--thumbnails", required=True, type=Path, help="folder for PNGs of example pairs")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="reading threads")
    args = parser.parse_args(argv)
    settings, code = dataset_settings(args.settings)
    frame = read_frame(args.list, [*LIST_COLUMNS, DRAWN])
    reader = open_reader(settings)
    table, audited, report = auditing.audit(frame, settings, reader, args.threads)
    args.thumbnails.mkdir(parents=True, exist_ok=True)
    auditreport.write_thumbnails(report["examples"], reader, settings["store"]["window"], args.thumbnails)
    write_frame(table, args.out_table)
    write_frame(audited, args.out_list)
    write_json(args.out_report, report | {"kept": len(audited), "code": code})
    log.info("%d of %d images kept", len(audited), len(frame))
    if lost := len(report["unreadable"]):
        cli.tell(
            f"datasets.{settings['name']}: {lost} of {len(frame)} images cannot be read and are left out; "
            f"{args.out_table} names them"
        )
