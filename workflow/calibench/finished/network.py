"""The trained network of a finished run."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from calibench.backbones.classifier import Classifier, build, head_alone
from calibench.backbones.pretrained import load_pretrained
from calibench.backbones.special import EMBEDDINGS
from calibench.finished import names
from calibench.finished.reuse import read_record


def load_weights(run_dir: Path, checkpoint: str) -> dict[str, Tensor]:
    """Weights of the network at a checkpoint."""
    return load_file(run_dir / names.weights(checkpoint))


def load_head(run_dir: Path, checkpoint: str = "top1") -> Classifier:
    """The head of a run that was trained on features, as a network of them; in evaluation mode, on the CPU."""
    weights = load_weights(run_dir, checkpoint)
    num_classes, features = weights["head.weight"].shape
    model = head_alone(features, num_classes)
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False)


def load_network(run_dir: Path, num_classes: int, checkpoint: str = "top1") -> Classifier:
    """The trained network in evaluation mode, without gradients, on the CPU, in the memory layout of the training.

    For a run with a frozen body it is the whole network: the body from its weights file, and the trained head.
    """
    record = read_record(run_dir)
    settings = record["settings"]
    if record["run"]["backbone"] == EMBEDDINGS:
        return load_head(run_dir, checkpoint)
    model = build(record["run"]["backbone"], num_classes, settings["model"])
    frozen = settings["model"].get("freeze") == "body"
    if frozen:
        load_pretrained(model, settings["model"]["weights"])
    if size := record["data"].get("input_size"):
        model.fit_to_size(size)
    weights = load_weights(run_dir, checkpoint)
    (model.head if frozen else model).load_state_dict(
        {key.removeprefix("head.") if frozen else key: value for key, value in weights.items()}
    )
    channels_last = settings["train"]["memory_format"] == "channels_last"
    model = model.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    return model.eval().requires_grad_(False)
