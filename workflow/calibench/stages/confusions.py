"""List which classes each run confuses on test, and the soft labels of these classes."""

from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.files import write_csv
from calibench.tables.confusions import collect

TOP = 3  # other classes listed for each class


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--out", type=Path, required=True, help="CSV to write")
    parser.add_argument(
        "--classes", action="append", required=True, metavar="DATASET=CSV", help="classes.csv of a data set"
    )
    parser.add_argument("--checkpoint", default="top1")
    cli.add_records(parser)
    args = parser.parse_args(argv)
    classes = {dataset: Path(path) for dataset, path in cli.pairs(args.classes).items()}
    folders = [record.parent for record in args.records]
    write_csv(collect(folders, classes, args.checkpoint, TOP), args.out)
