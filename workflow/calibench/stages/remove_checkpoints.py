"""Remove the resume checkpoints of finished runs."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.files import write_text
from calibench.finished.read import read_record


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--out", type=Path, required=True, help="text file to write: the folders removed")
    cli.add_records(parser)
    args = parser.parse_args(argv)
    removed = []
    for record in args.records:
        read_record(record.parent)  # a run without a record is not finished and may still be resumed
        folder = record.parent / "checkpoint"
        if folder.is_dir():
            shutil.rmtree(folder)
            removed.append(f"{folder}\n")
    write_text(args.out, "".join(removed))
