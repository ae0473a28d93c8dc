"""Check config files and print the complete configuration as JSON; without files, explain every key."""

import json
from collections.abc import Sequence

from calibench import cli
from calibench.planning.configuration import read
from calibench.planning.explain import explain


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("files", nargs="*", help="YAML files; later ones override earlier ones")
    paths = parser.parse_args(argv).files
    print(json.dumps(read(*paths), indent=1) if paths else explain())
