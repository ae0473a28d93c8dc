"""Read a finished run: record, predictions, features and history. The part that training uses is in reuse.py."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench.errors import UserError
from calibench.finished import names
from calibench.finished.reuse import (  # noqa: F401 - everybody but training imports them from here
    existing,
    read_index,
    read_logits,
    read_part,
    read_record,
    read_state,
)


def read_keys(run_dir: Path) -> dict[str, Any]:
    """What identifies a run: dataset, backbone, regime, variant, seed; UserError if the record does not have them."""
    entry = read_record(run_dir).get("run", {})
    if missing := [key for key in names.KEYS if key not in entry]:
        raise UserError(f"{run_dir / names.RECORD}: run has no {', '.join(missing)}; train this run again")
    return {key: entry[key] for key in names.KEYS}


def _check_rows(path: Path, array: np.ndarray, index: pd.DataFrame) -> None:
    if len(array) != len(index):
        raise UserError(
            f"{path} has {len(array)} rows, but its index has {len(index)}; predict this run again"
        )


def read_training(run_dir: Path, checkpoint: str) -> tuple[np.ndarray, pd.DataFrame]:
    """Logits (N, K) of the training images, in the order of the store, and their index (row, target: true classes)."""
    advice = "run `calibench predict_training` for this run first"
    path = existing(run_dir / names.logits_of_training(checkpoint), advice)
    logits, index = np.load(path, mmap_mode="r"), pd.read_csv(path.with_suffix(".csv"))
    _check_rows(path, logits, index)
    return logits, index


def checkpoints(run_dir: Path) -> list[str]:
    """The checkpoints that have predictions: top1, nll, last, then others (refined) by name."""
    folder = run_dir / "predictions"
    found = {p.name for p in folder.iterdir() if p.is_dir()} if folder.is_dir() else set()
    if not found:
        raise UserError(f"{folder} has no predictions; run `calibench predict` for this run first")
    return [c for c in names.CHECKPOINTS if c in found] + sorted(found - set(names.CHECKPOINTS))


def each_part(run_dir: Path, sets: Sequence[str] = ()) -> Iterator[tuple[str, str, np.ndarray, pd.DataFrame]]:
    """Yield (part, checkpoint, logits, index) of every part with images, for every checkpoint.

    ``sets`` are evaluation sets besides test, each with the checkpoints that have predictions for it.
    """
    indices = {split: read_index(run_dir, split) for split in (*names.PARTS, *sets)}
    for checkpoint in checkpoints(run_dir):
        for split, index in indices.items():
            if split in sets and not (run_dir / names.logits(checkpoint, split)).exists():
                continue  # the stage evaluate uses one checkpoint only
            logits = read_logits(run_dir, checkpoint, split, len(index))
            for part in names.parts_of(split):
                mask = (index["part"] == part).to_numpy()
                if mask.any():  # `calibrate` may be empty
                    yield part, checkpoint, logits[mask], index[mask]


def read_features(run_dir: Path, split: str) -> tuple[np.ndarray, pd.DataFrame]:
    """Features (N, D) as float32 and their index (row, target); UserError if they are not finite."""
    path = existing(run_dir / names.features(split), "predict this run again")
    features = np.load(path, allow_pickle=False).astype(np.float32)
    index = pd.read_csv(run_dir / names.features_index(split))
    _check_rows(path, features, index)
    if not np.isfinite(features).all():
        raise UserError(f"{path} contains NaN or infinity; the training diverged")
    return features, index


def history_lines(path: Path) -> list[dict[str, Any]]:
    """One dictionary per finished epoch of a ``history.jsonl``, also of a running run; none without the file."""
    if not path.exists():
        return []
    try:
        return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines() if text.strip()]
    except ValueError as error:
        raise UserError(f"{path} has a line that is not JSON ({error})") from error


def read_history(run_dir: Path) -> pd.DataFrame:
    """``history.jsonl`` as a frame, one row per epoch; UserError if there is none."""
    path = existing(run_dir / names.HISTORY, "train this run first")
    if not (lines := history_lines(path)):
        raise UserError(f"{path} is empty; no epoch has finished")
    return pd.DataFrame(lines)
