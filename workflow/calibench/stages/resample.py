"""Compute how certain the numbers of runs are: group bootstrap intervals, and the null band of ECE."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from calibench import cli
from calibench.files import write_csv
from calibench.finished.names import KEYS
from calibench.finished.read import read_keys
from calibench.planning.configuration import statistics_settings
from calibench.statistics.intervals import COLUMNS, intervals
from calibench.statistics.tested import read_tested


def resample_run(
    run_dir: Path, checkpoint: str, settings: dict[str, Any], split: str = "test"
) -> pd.DataFrame:
    """The intervals of one run on an evaluation set."""
    tested = read_tested(run_dir, checkpoint, split)
    found = intervals(tested.seen, tested.codes, settings, f"{run_dir} ({split}, checkpoint {checkpoint})")
    return found.assign(**read_keys(run_dir), split=split, checkpoint=checkpoint)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--settings", default="{}", help="JSON: any keys of statistics")
    parser.add_argument("--checkpoint", default="top1", help="which checkpoint's predictions")
    cli.add_sets(parser)
    parser.add_argument("--out", type=Path, required=True, help="intervals.csv to write")
    cli.add_records(parser)
    args = parser.parse_args(argv)
    settings = statistics_settings(args.settings)
    frames = [
        resample_run(record.parent, args.checkpoint, settings, split)
        for record in args.records
        for split in ("test", *args.sets)
    ]
    columns = [*KEYS, "split", "checkpoint", *COLUMNS]
    write_csv(pd.concat(frames, ignore_index=True)[columns], args.out)
