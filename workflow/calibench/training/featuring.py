"""Features of all images of a store from a network with a frozen body, computed once for all heads."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import torch
from numpy.lib import format as npy

from calibench.backbones import classifier
from calibench.backbones.classifier import Classifier
from calibench.backbones.pretrained import load_pretrained
from calibench.data.batches import Images, centre_crop, check_sizes
from calibench.files import atomic_path
from calibench.training.device import full_float32
from calibench.training.inference import as_input
from calibench.training.randomness import Purpose, generator
from calibench.training.views import augmented


def frozen_network(settings: dict[str, Any], num_classes: int, size: int) -> Classifier:
    """The network with its pretrained weights, in evaluation mode; UserError if weights or image size do not fit."""
    model = classifier.build(settings["backbone"], num_classes, settings["model"])
    load_pretrained(model, settings["model"]["weights"])
    model.fit_to_size(size)
    layout = torch.channels_last if settings["memory_format"] == "channels_last" else torch.contiguous_format
    return model.eval().requires_grad_(False).to(memory_format=layout)


def _batches(images: Images, settings: dict[str, Any], size: int, copy: int | None) -> Iterator[torch.Tensor]:
    """Images in order, without augmentation or of one augmented copy, a function of (copy, batch)."""
    for number, start in enumerate(range(0, len(images), settings["batch_size"])):
        positions = np.arange(start, min(start + settings["batch_size"], len(images)))
        if copy is None:
            yield images.batch(positions, centre_crop(len(positions), images.stored_size, size), size)
        else:
            draw = generator(0, Purpose.COPIES, copy, number)
            yield augmented(images, positions, draw, size, settings["augment"])


@torch.inference_mode()
def _write(stream: IO[bytes], model: Classifier, images: Images, settings: dict, copy: int | None) -> None:
    size = settings["input_size"]
    with full_float32():
        for batch in _batches(images, settings, size, copy):
            features = model.body(as_input(batch, settings["memory_format"]))
            stream.write(np.ascontiguousarray(features.float().cpu().numpy()).data)


def write_features(
    out: Path,
    settings: dict[str, Any],
    store: np.ndarray,
    index: pd.DataFrame,
    num_classes: int,
    device: torch.device,
) -> tuple[int, int]:
    """Write ``.npy`` float32 (N + copies·T, D): all N images, then each augmented copy of the T training images.

    Written as a stream: with a memory map, a full disk would kill the process without a message.

    Args:
        out: the file.
        settings: backbone, model, input_size, copies, augment, memory_format, batch_size.
        store: uint8 images (N, H, H[, 3]).
        index: of the store.
        num_classes: K, for the unused head of the network.
        device: of the network.

    Returns:
        The shape of the array.
    """
    size = settings["input_size"]
    check_sizes(store.shape[1], size, settings["augment"])
    model = frozen_network(settings, num_classes, size).to(device)
    everything = Images(store, index["row"].to_numpy(), device, "never")
    training = Images(store, index.loc[index["split"] == "train", "row"].to_numpy(), device, "never")
    shape = (len(everything) + settings["copies"] * len(training), model.head.in_features)
    with atomic_path(out) as part, open(part, "wb") as stream:
        npy.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
        _write(stream, model, everything, settings, None)
        for copy in range(settings["copies"]):
            _write(stream, model, training, settings, copy)
    return shape
