"""Compare the measures on every evaluation set with those on the test images."""

from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.files import write_csv
from calibench.finished.sets import evaluation_sets
from calibench.planning.configuration import evaluation_settings
from calibench.tables.long import read_long
from calibench.tables.shift import shifted


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.csv of the experiment")
    parser.add_argument("--posthoc", type=Path, required=True, help="posthoc.csv of the experiment")
    parser.add_argument("--settings", required=True, help="JSON: evaluate_on of the config")
    parser.add_argument("--checkpoint", default="top1", help="which checkpoint's measures")
    parser.add_argument("--out", type=Path, required=True, help="CSV to write")
    args = parser.parse_args(argv)
    settings = evaluation_settings(args.settings)
    sets = evaluation_sets(settings)
    write_csv(shifted(read_long(args.metrics), read_long(args.posthoc), sets, args.checkpoint), args.out)
