"""How every stage starts: logging to stderr, user errors as one line, exit status 2."""

import contextlib
import errno
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from calibench.errors import UserError

# What the system refuses is for the user to mend, wherever it was met.
REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}

# Descriptor of the terminal while stderr is a log file, set by `stage` in workflow/rules/common.smk.
TERMINAL = "STAGE_TERMINAL"


def _in_log(sentence: str) -> bool:
    """Print to stderr; whether it has really arrived there."""
    try:
        print(sentence, file=sys.stderr, flush=True)
    except OSError:
        return False
    try:
        os.fsync(2)  # a network file system says only now that it is full
    except OSError as error:  # a terminal or a pipe cannot be synced and need not be
        return error.errno not in REFUSED
    return True


def _ignore_log() -> None:
    """What a log on a full disk did not take is dropped; flushing it at exit would change the exit status."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _finish_log() -> None:
    try:
        sys.stderr.flush()
    except OSError:
        _ignore_log()


def _fail(sentence: str) -> NoReturn:
    """Exit with status 2 and the reason: in the log and, where that takes nothing more, on the terminal."""
    if not _in_log(f"error: {sentence}"):
        with contextlib.suppress(OSError, ValueError):
            os.write(int(os.environ.get(TERMINAL, "")), f"error: {sentence}\n".encode())
        _ignore_log()
    sys.exit(2)


def run(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> None:
    """Run a stage's ``main``; a :class:`UserError` becomes one line on stderr and exit status 2."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # a page per font that a PDF embeds
    try:
        main(argv)
        sys.stdout.flush()
        _finish_log()
    except UserError as error:
        _fail(str(error))
    except BrokenPipeError:  # the reader of our output has seen enough (| head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)  # what a shell calls SIGPIPE
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        what = f"{error.filename or 'a file'}: {error.strerror}"
        _fail(f"{what}; free space or fix the permissions, then start again")
