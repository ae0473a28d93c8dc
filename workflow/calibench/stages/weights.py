"""Download torchvision's ImageNet weights of one backbone and check them, outside any GPU job."""

from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.backbones.imagenet import fetch


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--out", required=True, type=Path)
    options = parser.parse_args(argv)
    fetch(options.backbone, options.out)
