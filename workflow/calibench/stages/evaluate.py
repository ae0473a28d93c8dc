"""Write predictions of a finished run for other sites, corrupted and attacked images; nothing is trained."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import pandas as pd

from calibench import cli
from calibench.data.stored import read_store
from calibench.errors import UserError
from calibench.finished.read import read_record
from calibench.finished.sets import evaluation_sets
from calibench.planning.configuration import evaluation_settings
from calibench.training.device import set_determinism, set_threads, take_device
from calibench.training.evaluating import Site, evaluate_run


def read_site(images: str, index: Path) -> Site:
    """Images of a site's store and the index of the images to predict."""
    if not index.is_file():
        raise UserError(f"{index} is missing; run `calibench match` for this site first")
    found = pd.read_csv(index, dtype={"group": str, "stratum": str}, keep_default_na=False)
    return read_store(Path(images).parent)[0], found


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    cli.add_record(parser)
    cli.add_images(parser)
    parser.add_argument("--settings", default="{}", help="JSON: any keys of evaluate_on except sites")
    parser.add_argument(
        "--site",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "IMAGES", "INDEX"),
        help="another site: its name, images.npy of its store, and the CSV that the stage match wrote",
    )
    parser.add_argument("--checkpoint", default="top1", help="which weights")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], help="default: that of the training")
    cli.add_threads(parser)
    args = parser.parse_args(argv)
    set_threads(args.threads)
    sets = evaluation_sets(evaluation_settings(args.settings), [name for name, _, _ in args.site])
    sites: dict[str, Site] = {name: read_site(images, Path(index)) for name, images, index in args.site}
    store, _, num_classes = read_store(args.images.parent)
    train: dict[str, Any] = read_record(args.record.parent)["settings"]["train"]
    set_determinism(train["deterministic"])
    cv2.setNumThreads(1)  # one image per thread
    with (
        take_device(args.device or train["device"]) as device,
        ThreadPoolExecutor(args.threads or 1) as pool,
    ):
        evaluate_run(args.record.parent, store, num_classes, sets, sites, args.checkpoint, device, pool.map)
