"""Write the files of a finished run. Each file has its name only when it is complete."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from calibench import files
from calibench.finished import names


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors as safetensors, atomically."""
    plain = {k: v.detach().to("cpu").contiguous().clone() for k, v in tensors.items()}
    with files.atomic_path(path) as part:
        try:
            save_file(plain, part)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def write_weights(folder: Path, checkpoint: str, tensors: dict[str, Tensor]) -> None:
    """Weights of the network at a checkpoint."""
    save_tensors(folder / names.weights(checkpoint), tensors)


def write_state(folder: Path, state: dict[str, Tensor]) -> None:
    """Buffers and parameters of the regime at the end of the training."""
    save_tensors(folder / names.STATE, state)


def write_indices(folder: Path, index: pd.DataFrame) -> None:
    """The row of the store, target, part, group and stratum of each row of the logits."""
    for split in names.PARTS:
        rows = index.loc[index["split"] == split, names.INDEX_COLUMNS]
        files.write_csv(rows, folder / names.index(split))


def write_index(folder: Path, split: str, index: pd.DataFrame) -> None:
    """The image of each row of the logits of an evaluation set; the part of all rows is the set."""
    files.write_csv(index.assign(part=split)[names.INDEX_COLUMNS], folder / names.index(split))


def write_logits(folder: Path, checkpoint: str, split: str, logits: np.ndarray) -> None:
    """Logits (N, K) float32."""
    files.save_npy(folder / names.logits(checkpoint, split), logits)


def write_features(folder: Path, split: str, features: np.ndarray, index: pd.DataFrame) -> None:
    """Features (n, D), stored as float16, and their index (row, target)."""
    limit = np.finfo(np.float16).max  # one diverged network must not spoil the figure of the others
    files.save_npy(folder / names.features(split), features.clip(-limit, limit).astype(np.float16))
    files.write_csv(index, folder / names.features_index(split))


def write_history(path: Path, lines: list[dict[str, Any]]) -> None:
    """One JSON line per finished epoch."""
    files.write_text(path, "".join(json.dumps(line) + "\n" for line in lines))


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """What was trained, with which settings, on which machine; the last file of a finished run."""
    files.write_json(folder / names.RECORD, record)
