"""Predictions of a trained network: logits and features of all checkpoints of a run."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from calibench.backbones.classifier import Classifier
from calibench.data.batches import Images
from calibench.finished import names, write
from calibench.training.device import full_float32
from calibench.training.inference import predict
from calibench.training.randomness import Purpose, generator


def feature_rows(count: int, limit: int, split: int) -> np.ndarray:
    """The images of a split whose features are stored: a seeded subset, sorted, the same for every run."""
    if count <= limit:
        return np.arange(count)
    return np.sort(generator(0, Purpose.FEATURES, split).permutation(count)[:limit])


def _chosen(images: Images, settings: dict, split: str) -> np.ndarray:
    return feature_rows(len(images), settings["train"]["features"], names.FEATURE_SPLITS.index(split))


def predict_split(
    model: Classifier, images: Images, settings: dict, **which: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Features (n, D) and logits (n, K) of a split, or of some of its images, with the settings of a run."""
    train = settings["train"]
    size = train["input_size"] or images.stored_size
    with full_float32():
        return predict(model, images, size, train["eval_batch_size"], train["memory_format"], **which)


def _predicted(
    model: Classifier, splits: dict[str, Images], settings: dict
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Logits (N, K) of validation and test, and features (n, D) of the images chosen for features."""
    logits, kept = {}, {}
    for split in names.PARTS:
        chosen = _chosen(splits[split], settings, split)
        found, scores = predict_split(model, splits[split], settings, keep=chosen)
        logits[split], kept[split] = scores.numpy(), found.numpy()
    return logits, kept


def _write_features(
    folder: Path,
    model: Classifier,
    splits: dict[str, Images],
    index: pd.DataFrame,
    settings: dict,
    kept: dict[str, np.ndarray],
) -> None:
    """Features of a seeded subset of every split, without augmentation; those in ``kept`` came with the logits."""
    for split in names.FEATURE_SPLITS:
        images = splits[split]
        chosen = _chosen(images, settings, split)
        if len(chosen):
            found = None if split in kept else predict_split(model, images, settings, positions=chosen)[0]
            features = kept[split] if found is None else found.numpy()
            rows = index.set_index("row").loc[images.rows[chosen], ["target"]].reset_index()
            write.write_features(folder, split, features, rows)


def write_all_predictions(
    folder: Path,
    model: Classifier,
    weights: dict[str, dict[str, Tensor]],
    epochs: dict[str, int],
    splits: dict[str, Images],
    index: pd.DataFrame,
    settings: dict[str, Any],
) -> None:
    """Write the logits of every checkpoint, without autocast or TF32, and the features of one, into ``folder``.

    ``weights`` and ``epochs`` are those of each checkpoint; equal epochs are computed once. At the end the model
    has the weights of the last of them.
    """
    write.write_indices(folder, index)
    done: dict[int, tuple[dict[str, np.ndarray], dict[str, np.ndarray]]] = {}
    for checkpoint, tensors in weights.items():
        epoch = epochs[checkpoint]
        model.load_state_dict(tensors)
        if epoch not in done:
            done[epoch] = _predicted(model, splits, settings)
        logits, kept = done[epoch]
        for split, scores in logits.items():
            write.write_logits(folder, checkpoint, split, scores)
        if checkpoint == settings["train"]["features_checkpoint"]:
            _write_features(folder, model, splits, index, settings, kept)
