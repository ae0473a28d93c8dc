"""Rank the runs of an experiment by every measure, over its data sets and backbones."""

from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.files import write_csv
from calibench.planning.configuration import statistics_settings
from calibench.statistics.ranks import ranks
from calibench.tables.long import read_long


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--metrics", type=Path, required=True, help="collected metrics.csv of the experiment")
    parser.add_argument("--settings", default="{}", help="JSON: any keys of statistics")
    parser.add_argument("--checkpoint", default="top1", help="which checkpoint's predictions")
    parser.add_argument("--out", type=Path, required=True, help="ranks.csv to write")
    args = parser.parse_args(argv)
    settings = statistics_settings(args.settings)
    write_csv(ranks(read_long(args.metrics), args.checkpoint, settings), args.out)
