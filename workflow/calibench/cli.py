"""How every stage starts: logging to stderr, user errors as one line, exit status 2."""

import errno
import logging
import os
import sys
from collections.abc import Callable, Sequence

from calibench.errors import UserError

# What the system refuses is for the user to mend, wherever it was met.
REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}


def run(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> None:
    """Run a stage's ``main``; a :class:`UserError` becomes one line on stderr and exit status 2."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # a page per font that a PDF embeds
    try:
        main(argv)
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output has seen enough (| head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)  # what a shell calls SIGPIPE
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        what = f"{error.filename or 'a file'}: {error.strerror}"
        print(f"error: {what}; free space or fix the permissions, then start again", file=sys.stderr)
        sys.exit(2)
