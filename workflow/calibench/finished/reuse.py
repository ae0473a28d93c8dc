"""What a training reads of another finished run: its record, its predictions and the state of its regime."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench.errors import UserError
from calibench.files import read_json
from calibench.finished import names


def existing(path: Path, advice: str) -> Path:
    """The path itself; UserError with the advice if there is no such file."""
    if not path.is_file():
        raise UserError(f"{path} is missing; {advice}")
    return path


def read_record(run_dir: Path) -> dict[str, Any]:
    """All of ``run.json``: what was trained, with which settings, on which machine."""
    return read_json(run_dir / names.RECORD)


def read_index(run_dir: Path, split: str) -> pd.DataFrame:
    """The image of each row of logits: row, target, part, group, stratum; ``split`` is ``val`` or an evaluation set.

    UserError if the file or a column is missing, or a part does not belong to the split.
    """
    path = existing(run_dir / names.index(split), "run `calibench predict` for this run first")
    index = pd.read_csv(path, dtype={"group": str, "stratum": str, "part": str}, keep_default_na=False)
    if missing := {"row", "target", "part"} - set(index.columns):
        raise UserError(f"{path} has no column {', '.join(sorted(missing))}; predict this run again")
    if unknown := set(index["part"]) - set(names.parts_of(split)):
        raise UserError(
            f"{path}: part {sorted(unknown)[0]!r} is not one of {', '.join(names.parts_of(split))}"
        )
    return index


def read_logits(run_dir: Path, checkpoint: str, split: str, rows: int) -> np.ndarray:
    """Logits (N, K) float32 of a checkpoint for ``val`` or an evaluation set; UserError if N is not ``rows``."""
    path = existing(run_dir / names.logits(checkpoint, split), "predict this run again")
    try:
        logits = np.load(path, allow_pickle=False)
    except ValueError as error:
        raise UserError(
            f"{path} is not a complete .npy array ({error}); delete it and predict again"
        ) from error
    if logits.ndim != 2 or len(logits) != rows:
        raise UserError(
            f"{path} has shape {logits.shape}, but its index {split}.csv has {rows} rows; predict again"
        )
    return logits


def read_part(run_dir: Path, checkpoint: str, part: str) -> tuple[np.ndarray, pd.DataFrame]:
    """Logits (N, K) and index of one part: ``select``, ``calibrate`` or an evaluation set; N may be 0."""
    split = names.split_of(part)
    index = read_index(run_dir, split)
    logits = read_logits(run_dir, checkpoint, split, len(index))
    mask = (index["part"] == part).to_numpy()
    return logits[mask], index[mask]


def read_state(run_dir: Path) -> dict[str, np.ndarray]:
    """Buffers of the run's regime at the end of the training."""
    from safetensors.numpy import load_file

    return load_file(existing(run_dir / names.STATE, "train this run first"))
