"""Stage: join the long tables of many runs into one; text only, so that hundreds of files take a moment."""

import argparse
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from calibench.cli import run
from calibench.errors import UserError
from calibench.files import write_text

log = logging.getLogger(__name__)


def collect(paths: Iterable[Path], allow_missing: bool = False) -> str:
    """One CSV text from CSV files with equal headers, rows in the order given.

    Args:
        paths: the files, each written by one stage for one run.
        allow_missing: skip missing files with a warning (a report of partial results) instead of stopping.

    Raises:
        UserError: a missing or empty file, a header that differs, the same file twice, nothing to join.
    """
    header, first, bodies, seen = None, None, [], set()
    for path in map(Path, paths):
        if path in seen:
            raise UserError(f"{path} is listed twice; its rows would count twice")
        seen.add(path)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            if allow_missing:
                log.warning("%s is missing; left out", path)
                continue
            raise UserError(f"{path} is missing; run the stage that writes it first") from error
        head, _, body = text.partition("\n")
        if not head:
            raise UserError(f"{path} is empty; delete it and run again")
        if header is None:
            header, first = head, path
        if head != header:
            raise UserError(f"{path} has other columns than {first}; delete the older one and run again")
        bodies.append(body if body.endswith("\n") or not body else body + "\n")
    if header is None:
        raise UserError("no tables to collect: none of the runs has finished")
    return "".join([header, "\n", *bodies])


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = argparse.ArgumentParser(prog="calibench.collect", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="CSV to write")
    parser.add_argument("--list-file", type=Path, help="text file with one more path per line")
    parser.add_argument("--allow-missing", action="store_true", help="skip missing files with a warning")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    files = list(args.files)
    if args.list_file:
        if not args.list_file.is_file():
            raise UserError(f"--list-file {args.list_file} is missing")
        files += [
            Path(line) for line in args.list_file.read_text(encoding="utf-8").splitlines() if line.strip()
        ]
    write_text(args.out, collect(files, args.allow_missing))


if __name__ == "__main__":
    run(main)
