"""Train one run (data set × backbone × regime × seed), starting from its last checkpoint if there is one.

Under Snakemake on one machine, heads on the same features are trained together by the first job that asks for one.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from calibench import cli
from calibench.errors import UserError
from calibench.training import groups, together
from calibench.training.device import set_threads
from calibench.training.job import train_run

SETTINGS = ("model", "train", "augment", "data", "regime", "run")


def run_settings(text: str) -> dict[str, Any]:
    """The settings of a run, like ``settings`` in run.json; UserError if a part is missing."""
    settings = cli.json_object(text)
    if missing := sorted(set(SETTINGS) - set(settings)):
        raise UserError(f"--settings has no '{missing[0]}'; it must have {', '.join(SETTINGS)}")
    return settings


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--settings", required=True, help=f"JSON: {', '.join(SETTINGS)}")
    cli.add_images(parser)
    parser.add_argument(
        "--record", required=True, type=Path, help="run.json to write; the other files go to its folder"
    )
    parser.add_argument(
        "--others",
        nargs="*",
        default=[],
        type=Path,
        metavar="RUN_JSON",
        help="records of the other runs that the regime needs, in the order in which it names them",
    )
    cli.add_threads(parser)
    parser.add_argument(
        "--stage-store",
        type=int,
        choices=(0, 1),
        nargs="?",
        const=1,
        default=0,
        help="1: copy the images to $SLURM_TMPDIR or $TMPDIR first, if they fit",
    )
    parser.add_argument("--runs-per-gpu", type=int, default=1, metavar="N", help="runs that may share a GPU")
    options = parser.parse_args(argv)
    set_threads(options.threads)
    settings = run_settings(options.settings)
    others = [record.parent for record in options.others]
    train_group = functools.partial(together.train, sharers=options.runs_per_gpu)
    groups.train_with_others(options.record, options.images, train_group)
    folders = options.images.parent, options.record.parent
    train_run(settings, *folders, others, bool(options.stage_store), options.runs_per_gpu)
