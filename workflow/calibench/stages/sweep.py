"""Choose the best value of a swept setting for each regime, by validation."""

from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.files import write_csv
from calibench.tables.long import read_long
from calibench.tables.sweep import choose


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.csv of the experiment")
    parser.add_argument("--settings", required=True, help="JSON: tries, by, checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="CSV to write")
    args = parser.parse_args(argv)
    write_csv(choose(read_long(args.metrics), cli.json_object(args.settings)), args.out)
