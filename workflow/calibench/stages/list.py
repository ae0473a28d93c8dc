"""Read the list of a data set, check every row, write one table and the classes; or show some of its images."""

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from calibench import cli
from calibench.data import listing, overview
from calibench.data.csvfile import write_frame
from calibench.errors import UserError
from calibench.files import sha256_of, write_json
from calibench.planning.configuration import dataset_settings, read

log = logging.getLogger(__name__)


def settings_from(configs: Sequence[Path], name: str | None) -> str:
    """Settings of a data set of a config, as JSON; without ``name`` of its only one, UserError if it has several."""
    datasets: dict[str, Any] = read(*configs)["datasets"]
    if name is None and len(datasets) == 1:
        name = next(iter(datasets))
    if name not in datasets:
        raise UserError(f"--dataset: name one of the config's data sets: {', '.join(datasets)}")
    return json.dumps({"name": name, **datasets[name]})


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--settings", help="settings of the data set, JSON")
    source.add_argument("--config", nargs="+", type=Path, help="config files that name the data set")
    parser.add_argument("--dataset", help="which data set of --config (default: its only one)")
    parser.add_argument("--out-list", type=Path, help="CSV: filename,label,target,split,group,stratum")
    parser.add_argument("--out-classes", type=Path, help="CSV: target,label,train,val,test (counts)")
    parser.add_argument("--inputs", nargs="*", default=[], help="files of the list")
    parser.add_argument("--out-inputs", type=Path, help="JSON: SHA-256 of --inputs and of the code")
    parser.add_argument("--show", type=Path, help="PNG: ten thumbnails per class; prints counts and sizes")
    args = parser.parse_args(argv)
    if not args.show and not (args.out_list and args.out_classes):
        parser.error("give --out-list and --out-classes, or --show")
    inputs = {path: sha256_of(path) for path in args.inputs if Path(path).is_file()}
    settings, code = dataset_settings(args.settings or settings_from(args.config, args.dataset))
    frame, classes = listing.load(settings)
    if args.out_inputs:
        write_json(args.out_inputs, {"inputs": inputs, "code": code})
    if args.out_list:
        write_frame(frame, args.out_list)
    if args.out_classes:
        write_frame(classes, args.out_classes)
    counts = ", ".join(f"{classes[split].sum()} {split}" for split in listing.SPLITS)
    log.info("%d images of %d classes: %s", len(frame), len(classes), counts)
    if args.show:
        for line in overview.show(settings, frame, classes, args.show, os.cpu_count() or 1):
            print(line)
