"""Compare pairs of runs by tests that are paired over seeds and images."""

from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.files import write_csv
from calibench.planning.configuration import statistics_settings
from calibench.statistics.contrasts import compare


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--settings", default="{}", help="JSON: any keys of statistics")
    parser.add_argument("--checkpoint", default="top1", help="which checkpoint's predictions")
    cli.add_sets(parser)
    parser.add_argument("--out", type=Path, required=True, help="contrasts.csv to write")
    cli.add_records(parser)
    args = parser.parse_args(argv)
    folders = [record.parent for record in args.records]
    settings = statistics_settings(args.settings)
    write_csv(compare(folders, args.checkpoint, settings, args.sets), args.out)
