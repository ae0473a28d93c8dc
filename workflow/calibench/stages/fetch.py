"""Download a file, or the files of a public data set, and check them."""

from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.data.download import fetch
from calibench.data.public import DOWNLOADS
from calibench.errors import UserError


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", choices=sorted(DOWNLOADS), help="a public data set; --out is a folder")
    source.add_argument("--url", help="an address; --out is a file")
    parser.add_argument("--checksum", help="sha256:… or md5:…; needed with --url")
    parser.add_argument("--out", required=True, type=Path, help="file or folder to write")
    args = parser.parse_args(argv)
    if args.url and not args.checksum:
        raise UserError("--url needs --checksum, so that the download can be checked")
    if args.url:
        fetch(args.url, args.out, args.checksum)
        return
    for url, name, checksum in DOWNLOADS[args.dataset]:
        fetch(url, args.out / name, checksum)
