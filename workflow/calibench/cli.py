"""The command line of every stage: options, logging to stderr, user errors as one line with exit status 2."""

import argparse
import contextlib
import errno
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from calibench.errors import UserError

# Errors of the system that the user can correct, wherever they appear.
REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}

# File descriptor of the terminal if stderr is a log file, set by `stage` in workflow/rules/common.smk.
TERMINAL = "STAGE_TERMINAL"


def parser(module: str, text: str | None) -> argparse.ArgumentParser:
    """The parser of ``calibench <stage>``, with the docstring of its module as description."""
    return argparse.ArgumentParser(prog=f"calibench {module.rpartition('.')[2]}", description=text)


def add_images(command: argparse.ArgumentParser) -> None:
    """The option ``--images``: a store, given by its largest file."""
    text = "images.npy of a store, in one folder with index.csv and classes.csv"
    command.add_argument("--images", required=True, type=Path, help=text)


def add_record(command: argparse.ArgumentParser) -> None:
    """The option ``--record``: a run, given by the file that is written last."""
    command.add_argument("--record", required=True, type=Path, help="run.json of a finished run")


def add_records(command: argparse.ArgumentParser) -> None:
    """Finished runs, each given by its record."""
    command.add_argument(
        "records", nargs="+", type=Path, metavar="RUN_JSON", help="run.json of finished runs"
    )


def add_sets(command: argparse.ArgumentParser) -> None:
    """The option ``--sets``: evaluation sets of the stage evaluate."""
    command.add_argument(
        "--sets", nargs="*", default=[], metavar="SET", help="evaluation sets besides test, as test@noise3"
    )


def add_device(command: argparse.ArgumentParser) -> None:
    """The option ``--device`` of a stage that repeats what a training has done."""
    command.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])


def add_threads(command: argparse.ArgumentParser) -> None:
    """The option ``--threads``."""
    command.add_argument("--threads", type=int, default=0, help="CPU threads (0 = torch's choice)")


def json_object(text: str, option: str = "--settings") -> dict[str, Any]:
    """Parse an option that is a JSON object; UserError if it is not one."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UserError(f"{option} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"{option} must be a JSON object, found {type(found).__name__}")
    return found


def pairs(items: Sequence[str]) -> dict[str, str]:
    """Options of the form KEY=VALUE as a dictionary; UserError if one has no ``=``."""
    for item in items:
        if "=" not in item:
            raise UserError(f"'{item}' does not have the form KEY=VALUE")
    return {key: value for key, _, value in (item.partition("=") for item in items)}


def _in_log(sentence: str) -> bool:
    """Print to stderr; returns whether it was really written."""
    try:
        print(sentence, file=sys.stderr, flush=True)
    except OSError:
        return False
    try:
        os.fsync(2)  # only now a network file system reports that it is full
    except OSError as error:  # a terminal or a pipe cannot be synced
        return error.errno not in REFUSED
    return True


def tell(sentence: str) -> None:
    """Show the user a note although the stage succeeds: in the log, and on the terminal if that is not the log."""
    logging.getLogger(__name__).warning("%s", sentence)
    with contextlib.suppress(OSError, ValueError):
        os.write(int(os.environ.get(TERMINAL, "")), f"note: {sentence}\n".encode())


def _ignore_log() -> None:
    """Drop text that a log on a full disk did not take; flushing it at exit would change the exit status."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _finish_log() -> None:
    try:
        sys.stderr.flush()
    except OSError:
        _ignore_log()


def _fail(sentence: str, status: int = 2) -> NoReturn:
    """Exit with the reason in the log or, if the disk is full, on the terminal."""
    if not _in_log(f"error: {sentence}"):
        with contextlib.suppress(OSError, ValueError):
            os.write(int(os.environ.get(TERMINAL, "")), f"error: {sentence}\n".encode())
        _ignore_log()
    sys.exit(status)


def run(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> None:
    """Run ``main`` of a stage; a :class:`UserError` becomes one line on stderr and exit status 2."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it logs a page for each font in a PDF
    try:
        main(argv)
        sys.stdout.flush()
        _finish_log()
    except UserError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("stopped by Ctrl-C; the same command starts it again", 128 + signal.SIGINT)
    except BrokenPipeError:  # the reader of our output has closed it (| head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)  # the shell's exit status for SIGPIPE
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        what = f"{error.filename or 'a file'}: {error.strerror}"
        _fail(f"{what}; free space or fix the permissions, and start again")
