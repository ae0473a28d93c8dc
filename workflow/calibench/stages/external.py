"""Make predictions of other programs a run of an experiment, beside those that are trained on the same images."""

from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.data.stored import read_classes, read_store
from calibench.errors import UserError
from calibench.external.given import read_given
from calibench.external.listed import matched
from calibench.external.runs import write_external
from calibench.finished import names


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("file", type=Path, help=".npz or .csv of predictions (docs/score.md)")
    cli.add_images(parser)
    parser.add_argument("--run", required=True, help=f"JSON: {', '.join(names.KEYS)}")
    parser.add_argument(
        "--checkpoint", default="top1", help="refined: its predictions are also found under this name"
    )
    parser.add_argument("--record", type=Path, required=True, help="run.json to write")
    args = parser.parse_args(argv)
    run = cli.json_object(args.run, "--run")
    if missing := [key for key in names.KEYS if key not in run]:
        raise UserError(f"--run lacks {', '.join(missing)}")
    _, index, _ = read_store(args.images.parent)
    classes = list(read_classes(args.images.parent / "classes.csv"))
    given = matched(read_given(args.file), index, classes)
    write_external(args.record.parent, given, run, names.kept(args.checkpoint == names.REFINED), args.file)
