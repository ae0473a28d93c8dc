"""Stage: predictions and features of a finished run from its stored weights (training does this by itself)."""

import argparse
import logging
from pathlib import Path

import torch
from safetensors.torch import load_file

from calibench import cli, files, models
from calibench.train import read_store, split_images
from calibench.training import outputs
from calibench.training.device import set_determinism, take_device

log = logging.getLogger(__name__)


def predict_run(run_dir: Path, store_dir: Path, device: torch.device) -> None:
    """Write predictions/ and features/ of a run anew from weights/ and run.json."""
    record = files.read_json(run_dir / "run.json")
    settings = record["settings"]
    store, index, num_classes = read_store(store_dir)
    splits = split_images(store, index, device, "never")
    model = models.build(record["run"]["backbone"], num_classes, settings["model"])
    layout = (
        torch.channels_last
        if settings["train"]["memory_format"] == "channels_last"
        else torch.contiguous_format
    )
    model = model.to(device=device, memory_format=layout)
    weights = {
        which: load_file(run_dir / "weights" / f"{which}.safetensors") for which in outputs.CHECKPOINTS
    }
    outputs.write_all_predictions(run_dir, model, weights, record["epochs"], splits, index, settings)


def main(argv=None) -> None:
    """Predict with a finished run's weights."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--run-dir", required=True, type=Path, help="folder of a finished run")
    parser.add_argument(
        "--store", required=True, type=Path, help="folder with images.npy, index.csv, classes.csv"
    )
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0 = torch's choice)")
    options = parser.parse_args(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    set_determinism(True)
    with take_device(options.device) as device:
        predict_run(options.run_dir, options.store, device)


if __name__ == "__main__":
    cli.run(main)
