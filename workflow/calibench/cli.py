"""How every stage starts: logging to stderr, user errors as one line, exit status 2."""

import logging
import sys
from collections.abc import Callable, Sequence

from calibench.errors import UserError


def run(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> None:
    """Run a stage's ``main``; a :class:`UserError` becomes one line on stderr and exit status 2."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # a page per font that a PDF embeds
    try:
        main(argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
