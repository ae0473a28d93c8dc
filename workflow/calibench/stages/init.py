"""Write the folder of a new study: a Snakefile that uses these rules from GitHub, a config, a profile, a README."""

import re
from collections.abc import Sequence
from pathlib import Path

from calibench import __version__, cli, study
from calibench.errors import UserError


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("folder", type=Path, help="new folder")
    parser.add_argument("--repository", required=True, help="repository of the rules on GitHub: owner/name")
    parser.add_argument("--tag", default=f"v{__version__}", help="version of the rules (default: this one)")
    options = parser.parse_args(argv)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", options.repository):
        raise UserError(f"--repository {options.repository} does not have the form owner/name")
    if not re.fullmatch(r"[\w./+-]+", options.tag):
        raise UserError(f"--tag {options.tag} is not the name of a tag")
    for file in study.write(options.folder, options.repository, options.tag):
        print(file)
