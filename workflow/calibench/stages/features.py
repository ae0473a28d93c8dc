"""Compute the features of every image once, by a network whose body is not trained: heads are then trained on them."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from calibench import cli
from calibench.data.stored import read_store
from calibench.errors import UserError
from calibench.files import atomic_path, write_json
from calibench.training.device import set_determinism, set_threads, take_device
from calibench.training.featuring import write_features

log = logging.getLogger(__name__)
SETTINGS = {"backbone", "model", "input_size", "copies", "augment", "memory_format", "batch_size"}


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--settings", required=True, help=f"JSON: {', '.join(sorted(SETTINGS))}")
    cli.add_images(parser)
    parser.add_argument("--out", required=True, type=Path, help=".npy to write: float32 (N + copies·T, D)")
    parser.add_argument("--out-index", required=True, type=Path, help="the store's index.csv, copied")
    parser.add_argument("--out-classes", required=True, type=Path, help="the store's classes.csv, copied")
    parser.add_argument("--out-report", required=True, type=Path, help="JSON: settings and shape")
    cli.add_device(parser)
    cli.add_threads(parser)
    options = parser.parse_args(argv)
    set_threads(options.threads)
    settings = cli.json_object(options.settings)
    if missing := sorted(SETTINGS - set(settings)):
        raise UserError(
            f"--settings lacks '{missing[0]}'; it is an object with {', '.join(sorted(SETTINGS))}"
        )
    folder = options.images.parent
    store, index, num_classes = read_store(folder)
    if store.ndim == 2:
        raise UserError(f"{options.images} holds features already; name the images.npy of a store of images")
    set_determinism(True)
    with take_device(options.device) as device:
        shape = write_features(options.out, settings, store, index, num_classes, device)
    for source, target in (("index.csv", options.out_index), ("classes.csv", options.out_classes)):
        with atomic_path(target) as part:
            shutil.copyfile(folder / source, part)
    write_json(options.out_report, settings | {"shape": list(shape)})
    log.info(
        "features of %d images and %d copies of the training part: %s", len(index), settings["copies"], shape
    )
