"""Predictions of a finished network for other images: from another site, corrupted, or attacked."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from calibench.backbones.classifier import Classifier
from calibench.data.batches import Images, centre_crop
from calibench.data.corruptions import CorruptedStore
from calibench.errors import UserError
from calibench.finished import names, read, write
from calibench.finished.network import load_network
from calibench.finished.sets import ATTACK, CORRUPTION, SITE
from calibench.training.attacks import attack
from calibench.training.inference import as_input, logits_of

log = logging.getLogger(__name__)
Site = tuple[np.ndarray, pd.DataFrame]  # images of its store, index of the images to predict


def _attacked_logits(
    model: Classifier, images: Images, targets: np.ndarray, size: int, settings: dict[str, Any], train: dict
) -> Tensor:
    """Logits (n, K) float32 of the attacked test images."""
    grey, parts = images.store.ndim == 3, []
    model.eval()
    for start in range(0, len(images), train["eval_batch_size"]):
        chunk = np.arange(start, min(start + train["eval_batch_size"], len(images)))
        batch = images.batch(chunk, centre_crop(len(chunk), images.stored_size, size), size)
        true = torch.from_numpy(targets[chunk]).to(batch.device)
        changed = attack(model, batch, true, images.rows[chunk], settings, grey)
        with torch.inference_mode():
            parts.append(model(as_input(changed, train["memory_format"])).float())
    return torch.cat(parts)


def _check_weights(run_dir: Path, checkpoint: str) -> None:
    if not (run_dir / names.weights(checkpoint)).is_file():
        raise UserError(
            f"{run_dir / names.weights(checkpoint)} is missing: predictions on other images need the network; train "
            "this run, or remove evaluate_on"
        )


def evaluate_run(
    run_dir: Path,
    store: np.ndarray,
    num_classes: int,
    sets: dict[str, dict[str, Any]],
    sites: dict[str, Site],
    checkpoint: str,
    device: torch.device,
    over: Callable[..., Any] = map,
) -> None:
    """Write index and logits of every evaluation set of a run; files of the training are not changed.

    Args:
        run_dir: folder of a finished run.
        store: uint8 images (N, H, H[, 3]) of the data set it was trained on.
        num_classes: K.
        sets: see :func:`calibench.finished.sets.evaluation_sets`.
        sites: {data set: its images and the matched index (:func:`calibench.data.sites.match`)}.
        checkpoint: which weights.
        device: of the network.
        over: like the builtin ``map``, for corruptions in several threads.

    Raises:
        UserError: the run has no weights, or the network has no finite gradient.
    """
    _check_weights(run_dir, checkpoint)
    train = read.read_record(run_dir)["settings"]["train"]
    tested = read.read_index(run_dir, "test")
    model = load_network(run_dir, num_classes, checkpoint).to(device)
    size = train["input_size"] or store.shape[1]
    for name, settings in sets.items():
        images, index = store, tested
        if settings["kind"] == SITE:
            images, index = sites[settings["site"]]
        elif settings["kind"] == CORRUPTION:
            images = CorruptedStore(store, settings["family"], settings["level"], settings["seed"], over)
        chosen = Images(images, index["row"].to_numpy(), device, "never")
        if settings["kind"] == ATTACK:
            targets = index["target"].to_numpy(np.int64, copy=True)
            found = _attacked_logits(model, chosen, targets, size, settings, train)
        else:
            found = logits_of(model, chosen, size, train["eval_batch_size"], train["memory_format"])
        write.write_index(run_dir, name, index)
        write.write_logits(run_dir, checkpoint, name, found.cpu().numpy())
        log.info("%s: %d images", name, len(index))
