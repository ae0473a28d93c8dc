"""Train one run (data set × backbone × regime × seed); started again, it goes on from its last checkpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from calibench import cli
from calibench.errors import UserError
from calibench.training.job import train_run

SETTINGS = ("model", "train", "augment", "data", "regime", "run")


def run_settings(text: str) -> dict[str, Any]:
    """Parse the settings of one run (``settings`` of a finished run's run.json are such).

    Raises:
        UserError: if it is no JSON object or lacks a part.
    """
    settings = cli.json_object(text)
    missing = sorted(set(SETTINGS) - set(settings))
    if missing:
        raise UserError(f"--settings lacks '{missing[0]}'; it is an object with {', '.join(SETTINGS)}")
    return settings


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--settings", required=True, help=f"JSON: {', '.join(SETTINGS)}")
    cli.add_images(parser)
    parser.add_argument(
        "--record", required=True, type=Path, help="run.json to write; the other files go beside it"
    )
    parser.add_argument(
        "--others",
        nargs="*",
        default=[],
        type=Path,
        metavar="RUN_JSON",
        help="records of the runs this one builds on, in the order in which its regime names them",
    )
    cli.add_threads(parser)
    parser.add_argument(
        "--stage-store",
        type=int,
        choices=(0, 1),
        nargs="?",
        const=1,
        default=0,
        help="1: copy the images to $SLURM_TMPDIR or $TMPDIR first, where they fit",
    )
    parser.add_argument(
        "--runs-per-gpu", type=int, default=1, metavar="N", help="so many runs may share a GPU (default 1)"
    )
    options = parser.parse_args(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    settings = run_settings(options.settings)
    others = [record.parent for record in options.others]
    folders = options.images.parent, options.record.parent
    train_run(settings, *folders, others, bool(options.stage_store), options.runs_per_gpu)
