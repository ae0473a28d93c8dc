"""Join the long tables of many runs into one."""

from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.files import write_text
from calibench.tables.long import join


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--out", type=Path, required=True, help="CSV to write")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    write_text(args.out, join(args.files))
