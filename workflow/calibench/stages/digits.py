"""Write scikit-learn's handwritten digits as PNG files and lists, the data of the demo."""

import logging
from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.data import digits

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--out", required=True, type=Path, help="folder to write to, the data set's root")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split")
    args = parser.parse_args(argv)
    counts = digits.write(args.out, args.seed)["split"].value_counts()
    log.info("digits in %s: %s", args.out, ", ".join(f"{n} {split}" for split, n in counts.items()))
