"""Check the published numbers, and our own, against what must be true for any table of results."""

from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.files import write_csv
from calibench.published.audit import audit
from calibench.tables.long import read_long


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.csv of the experiment")
    parser.add_argument("--out", type=Path, required=True, help="published_audit.csv to write")
    args = parser.parse_args(argv)
    write_csv(audit(read_long(args.metrics)), args.out)
