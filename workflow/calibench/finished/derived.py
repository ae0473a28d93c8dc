"""Predictions made from finished predictions, without a network; they have a run folder of their own."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench import files
from calibench.finished import names


def log_probabilities(probs: np.ndarray) -> np.ndarray:
    """Logits (N, K) float32 whose softmax is these probabilities; 0 becomes the log of the smallest float64 (-708)."""
    return np.log(np.maximum(probs, np.finfo(np.float64).tiny)).astype(np.float32)


def write_predictions(
    folder: Path, checkpoint: str, split: str, probs: np.ndarray, index: pd.DataFrame
) -> None:
    """Probabilities (N, K), stored as logits, and the image of each row."""
    files.write_csv(index, folder / names.index(split))
    files.save_npy(folder / names.logits(checkpoint, split), log_probabilities(probs))


def write_record(folder: Path, run: dict[str, Any], members: list[str], calibrator: str) -> None:
    """Write which runs the predictions are made from; the last file."""
    record = {"run": run, "settings": {}, "derived": {"members": members, "calibrator": calibrator}}
    files.write_json(folder / names.RECORD, record)
