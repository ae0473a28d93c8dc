"""Hold the published numbers, and our own, against what must be true of any table of results."""

from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.errors import UserError
from calibench.files import write_csv
from calibench.published import audit
from calibench.tables.long import read_long


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--metrics", type=Path, help="metrics.csv of the experiment")
    parser.add_argument("--out", type=Path, help="published_audit.csv to write")
    parser.add_argument(
        "--renew",
        action="store_true",
        help="compute the kept audit of the printed numbers anew, after an edit of them",
    )
    args = parser.parse_args(argv)
    if args.renew:
        audit.renew()
    elif not (args.metrics and args.out):
        raise UserError("--metrics and --out are needed, or --renew")
    else:
        write_csv(audit.audit(read_long(args.metrics)), args.out)
