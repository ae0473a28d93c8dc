"""Check config files and print the complete configuration as JSON; without files, explain all keys."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from calibench import cli
from calibench.backbones.names import known, known_to_timm
from calibench.errors import UserError
from calibench.planning.checks import check_all, check_root
from calibench.planning.configuration import read
from calibench.planning.explain import explain


def check_data(config: dict[str, Any]) -> list[str]:
    """Check the lists of each data set; returns a note on each data set that is not on this machine."""
    notes = []
    for name, dataset in config["datasets"].items():
        try:
            check_root(config, name)
        except UserError as error:
            if Path(dataset["root"]).expanduser().exists():
                raise
            notes.append(f"note: {error}")
    return notes


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("files", nargs="*", help="YAML files; later ones override earlier ones")
    parser.add_argument("--backbones", action="store_true", help="list all backbones")
    options = parser.parse_args(argv)
    if options.backbones:
        print("\n".join(sorted(known() | known_to_timm())))
    elif options.files:
        config = read(*options.files)
        check_all(config)
        notes = check_data(config)
        print(json.dumps(config, indent=1), flush=True)
        for note in notes:  # last, where a terminal shows them
            print(note, file=sys.stderr)
    else:
        print(explain())
