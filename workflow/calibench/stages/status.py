"""Show where an experiment is: runs done, running, waiting; epoch, accuracy, time left."""

from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.errors import UserError
from calibench.planning.checks import check_all
from calibench.planning.configuration import read
from calibench.planning.progress import experiment_status, render


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument(
        "configs", nargs="*", default=["config/config.yaml"], help="the config files of the experiment"
    )
    parser.add_argument("--all", action="store_true", help="list waiting and finished runs as well")
    parser.add_argument("--directory", type=Path, default=Path("."), help="the folder that holds results/")
    options = parser.parse_args(argv)
    if not options.directory.is_dir():
        raise UserError(f"--directory {options.directory} does not exist")
    config = read(*options.configs)
    check_all(config)
    print(render(experiment_status(config, options.directory), options.all))
