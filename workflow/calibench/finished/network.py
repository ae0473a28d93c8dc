"""The trained network of a finished run."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from calibench.backbones.classifier import Classifier, build
from calibench.finished import names
from calibench.finished.reuse import read_record


def load_weights(run_dir: Path, checkpoint: str) -> dict[str, Tensor]:
    """Weights of the network at a checkpoint."""
    return load_file(run_dir / names.weights(checkpoint))


def load_network(run_dir: Path, num_classes: int, checkpoint: str = "top1") -> Classifier:
    """The trained network in evaluation mode, without gradients, on the CPU, in the memory layout of the training."""
    record = read_record(run_dir)
    settings = record["settings"]
    model = build(record["run"]["backbone"], num_classes, settings["model"])
    model.load_state_dict(load_weights(run_dir, checkpoint))
    channels_last = settings["train"]["memory_format"] == "channels_last"
    model = model.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    return model.eval().requires_grad_(False)
