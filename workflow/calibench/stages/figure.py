"""Draw one kind of figure: for one data set and backbone from the files of its runs, or for the whole experiment."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.figures import NEEDS, WHOLE


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    argv = sys.argv[1:] if argv is None else argv
    parser = cli.parser(__name__, __doc__)
    kinds = [*NEEDS, *WHOLE]
    parser.add_argument("kind", choices=kinds)
    if not argv or argv[0] not in kinds:
        parser.parse_args(argv[:1])
        return
    kind = importlib.import_module(f"calibench.figures.{argv[0]}")  # no other kind is imported
    parser.description = kind.__doc__
    parser.add_argument("--out", type=Path, required=True, help="PNG to write (200 dpi)")
    parser.add_argument("--out-pdf", type=Path, help="PDF to write")
    kind.add_options(parser)
    if argv[0] not in WHOLE:
        cli.add_records(parser)
    args = parser.parse_args(argv)
    from calibench.figures import style

    style.save(kind.figure(args), args.out, args.out_pdf)
