"""What a finished run leaves: weights, predictions, features, history, and what it was."""

import logging
import os
import platform
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torchvision

from calibench import files
from calibench.data.batches import Images
from calibench.models import Classifier
from calibench.training.inference import predict
from calibench.training.randomness import Purpose, generator

log = logging.getLogger(__name__)
CHECKPOINTS = ("top1", "nll", "last")
INDEX_COLUMNS = ["row", "target", "part", "group", "stratum"]


def feature_rows(count: int, limit: int, split: int) -> np.ndarray:
    """Which images of a split have their features stored: a seeded subset, sorted, the same for every run."""
    if count <= limit:
        return np.arange(count)
    return np.sort(generator(0, Purpose.FEATURES, split).permutation(count)[:limit])


FEATURE_SPLITS = ("train", "val", "test")


def names(settings: dict[str, Any]) -> list[str]:
    """Every output of a finished run, relative to its folder; the record, which is written last, is last."""
    weights = [f"weights/{which}.safetensors" for which in CHECKPOINTS]
    indices = [f"predictions/{split}.csv" for split in ("val", "test")]
    logits = [f"predictions/{which}/{split}.npy" for which in CHECKPOINTS for split in ("val", "test")]
    splits = FEATURE_SPLITS if settings["train"]["features"] else ()
    features = [f"features/{split}.{kind}" for split in splits for kind in ("npy", "csv")]
    return [*weights, "regime.safetensors", *indices, *logits, *features, "history.jsonl", "run.json"]


def _chosen(images: Images, settings: dict, split: str) -> np.ndarray:
    return feature_rows(len(images), settings["train"]["features"], FEATURE_SPLITS.index(split))


def _predict(model: Classifier, images: Images, settings: dict, positions: np.ndarray | None = None):
    train = settings["train"]
    size = train["input_size"] or images.stored_size
    return predict(model, images, size, train["eval_batch_size"], train["memory_format"], positions)


def write_predictions(
    run_dir: Path, which: str, model: Classifier, splits: dict[str, Images], settings: dict
) -> dict[str, np.ndarray]:
    """Logits float32 (N, K) of validation and test for one checkpoint, without autocast.

    Returns:
        For each of the two the features (n, D) of the images whose features are stored; they come along free.
    """
    kept = {}
    for split in ("val", "test"):
        features, logits = _predict(model, splits[split], settings)
        files.save_npy(run_dir / "predictions" / which / f"{split}.npy", logits.numpy())
        kept[split] = features.numpy()[_chosen(splits[split], settings, split)]
    return kept


def write_features(
    run_dir: Path,
    model: Classifier,
    splits: dict[str, Images],
    index: pd.DataFrame,
    settings: dict,
    kept: dict[str, np.ndarray],
) -> None:
    """Penultimate features float16 (n, D) of a seeded subset of every split, unaugmented.

    Args:
        run_dir: the run's folder.
        model: with the weights whose features are wanted.
        splits: images of train, val and test.
        index: the store's index.
        settings: the run's settings.
        kept: features of validation and test that :func:`write_predictions` returned for these weights.
    """
    for split in FEATURE_SPLITS:
        images = splits[split]
        chosen = _chosen(images, settings, split)
        if len(chosen) == 0:
            continue
        features = kept[split] if split in kept else _predict(model, images, settings, chosen)[0].numpy()
        limit = np.finfo(np.float16).max  # one network out of bounds must not cost the others their figure
        files.save_npy(run_dir / "features" / f"{split}.npy", features.clip(-limit, limit).astype(np.float16))
        rows = index.set_index("row").loc[images.rows[chosen], ["target"]].reset_index()
        files.write_csv(rows, run_dir / "features" / f"{split}.csv")


def write_indices(run_dir: Path, index: pd.DataFrame) -> None:
    """The index beside the logits: which store row, label, part, group and stratum each line of logits is."""
    for split in ("val", "test"):
        part = index.loc[index["split"] == split, INDEX_COLUMNS]
        files.write_csv(part, run_dir / "predictions" / f"{split}.csv")


def _copy_predictions(folder: Path, source: str, target: str) -> None:
    for split in ("val", "test"):
        with files.atomic_path(folder / target / f"{split}.npy") as part:
            shutil.copyfile(folder / source / f"{split}.npy", part)


def write_all_predictions(
    run_dir: Path,
    model: Classifier,
    weights: dict[str, dict],
    epochs: dict[str, int],
    splits: dict[str, Images],
    index: pd.DataFrame,
    settings: dict[str, Any],
) -> None:
    """Predictions of the three checkpoints, features of one; equal epochs are computed once."""
    write_indices(run_dir, index)
    done: dict[int, str] = {}
    kept: dict[int, dict[str, np.ndarray]] = {}
    for which in CHECKPOINTS:
        epoch = epochs[which]
        model.load_state_dict(weights[which])
        if epoch in done:
            _copy_predictions(run_dir / "predictions", done[epoch], which)
        else:
            kept[epoch] = write_predictions(run_dir, which, model, splits, settings)
            done[epoch] = which
        if which == settings["train"]["features_checkpoint"]:
            write_features(run_dir, model, splits, index, settings, kept[epoch])


def commit() -> str:
    """The package's git commit, with ``+changes`` if the tree differs, or ``unknown`` outside a checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10
        )
        dirty = subprocess.run(
            [*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head.stdout.strip() + ("+changes" if dirty.stdout.strip() else "")


def provenance(device: torch.device) -> dict[str, Any]:
    """Versions, commit and machine of a run."""
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or platform.machine()
    )
    return {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
        "commit": commit(),
        "device": f"{device.type}: {name}",
        "threads": torch.get_num_threads(),
        "host": socket.gethostname(),
        "slurm_job": os.environ.get("SLURM_JOB_ID", ""),
    }
