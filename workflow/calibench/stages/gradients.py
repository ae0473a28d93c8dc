"""Write how large the gradient of each regime was, relative to that of hard labels."""

from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.files import write_csv
from calibench.tables.gradients import collect


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--out", type=Path, required=True, help="CSV to write")
    cli.add_records(parser)
    args = parser.parse_args(argv)
    write_csv(collect([record.parent for record in args.records]), args.out)
