"""Write the histories of runs for TensorBoard or MLflow, after or during training; give it again to add what is new."""

import logging
from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.errors import UserError
from calibench.finished import trackers

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("folder", type=Path, help="results/<experiment>, or a run in it")
    parser.add_argument("--to", required=True, choices=["tensorboard", "mlflow"])
    parser.add_argument("--out", required=True, type=Path, help="folder to write; event files, or mlflow.db")
    options = parser.parse_args(argv)
    if not options.folder.is_dir():
        raise UserError(f"{options.folder} is not a folder; name the results of an experiment")
    count = 0
    for curve in trackers.curves(options.folder):
        if options.to == "tensorboard":
            trackers.to_tensorboard(curve, options.out)
        else:
            trackers.to_mlflow(curve, options.out, options.folder.resolve().name)
        count += 1
    log.info("%d runs written to %s", count, options.out)
