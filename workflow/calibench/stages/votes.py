"""Bring votes of readers into the order of a store."""

from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.data.stored import read_classes, read_store
from calibench.data.votes import read_votes
from calibench.files import save_npy
from calibench.metrics.human import vote_shares


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("file", type=Path, help="CSV or .npy of votes (docs/data.md)")
    cli.add_images(parser)
    parser.add_argument("--out", type=Path, required=True, help=".npy to write, a row per row of the store")
    args = parser.parse_args(argv)
    _, index, _ = read_store(args.images.parent)
    classes = list(read_classes(args.images.parent / "classes.csv"))
    votes = read_votes(args.file, index, classes)
    vote_shares(votes, len(classes), str(args.file))  # wrong votes are an error here
    save_npy(args.out, votes)
