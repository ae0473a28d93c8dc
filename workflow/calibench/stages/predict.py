"""Repeat the predictions and features of a finished run from its weights; training has made them once."""

from collections.abc import Sequence
from pathlib import Path

import torch

from calibench import cli
from calibench.data.stored import read_store
from calibench.errors import UserError
from calibench.files import sha256_of
from calibench.finished import names
from calibench.finished.network import load_head, load_network
from calibench.finished.read import read_record
from calibench.training.device import set_determinism, set_threads, take_device
from calibench.training.job import split_images
from calibench.training.predicting import write_all_predictions


def predict_run(run_dir: Path, store_dir: Path, device: torch.device) -> None:
    """Write predictions/ and features/ of a run again from weights/ and run.json.

    UserError if the run was trained with another store; its files are then not changed.
    """
    record = read_record(run_dir)
    if record["data"]["index"] != sha256_of(store_dir / "index.csv"):
        raise UserError(
            f"{run_dir} was trained on other images or labels than those in {store_dir}; its predictions were not "
            "changed. Use the store of its settings; for predictions on other images see docs/shift.md (evaluate_on)"
        )
    store, index, num_classes = read_store(store_dir)
    splits = split_images(store, index, device, "never")
    of_features = store.ndim == 2
    networks = {
        checkpoint: load_head(run_dir, checkpoint)
        if of_features
        else load_network(run_dir, num_classes, checkpoint)
        for checkpoint in names.kept(record["settings"]["train"].get(names.REFINED, False))
    }
    model = networks["top1"].to(device)
    weights = {checkpoint: network.state_dict() for checkpoint, network in networks.items()}
    write_all_predictions(run_dir, model, weights, record["epochs"], splits, index, record["settings"])


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    cli.add_record(parser)
    cli.add_images(parser)
    cli.add_device(parser)
    cli.add_threads(parser)
    options = parser.parse_args(argv)
    set_threads(options.threads)
    set_determinism(True)
    with take_device(options.device) as device:
        predict_run(options.record.parent, options.images.parent, device)
