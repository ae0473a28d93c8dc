"""A run's predictions on an evaluation set, with what resampling and comparisons need of the images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from calibench.finished.read import read_part
from calibench.metrics import Predictions
from calibench.statistics.resampling import group_codes


@dataclass(frozen=True)
class Tested:
    """Predictions of N images, their group codes (N,), and the rows of the store they are."""

    seen: Predictions
    codes: np.ndarray
    rows: pd.Series


def read_tested(run_dir: Path, checkpoint: str, split: str = "test") -> Tested:
    """Read the predictions of a finished run on an evaluation set."""
    logits, index = read_part(run_dir, checkpoint, split)
    groups = index["group"] if "group" in index else np.full(len(index), "")
    seen = Predictions.of(logits, index["target"].to_numpy(), f"{run_dir} ({split}, checkpoint {checkpoint})")
    return Tested(seen, group_codes(np.asarray(groups)), index["row"].reset_index(drop=True))
