"""Reading a finished run: its record, predictions, features, history and the state of its regime."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench.errors import UserError
from calibench.files import read_json
from calibench.finished import names


def read_record(run_dir: Path) -> dict[str, Any]:
    """All of ``run.json``: what was trained, with which settings, on what machine."""
    return read_json(run_dir / names.RECORD)


def read_keys(run_dir: Path) -> dict[str, Any]:
    """What run it is: dataset, backbone, regime, variant, seed.

    Raises:
        UserError: if the record is missing or lacks one of them.
    """
    entry = read_record(run_dir).get("run", {})
    missing = [key for key in names.KEYS if key not in entry]
    if missing:
        raise UserError(f"{run_dir / names.RECORD}: run lacks {', '.join(missing)}; train this run again")
    return {key: entry[key] for key in names.KEYS}


def read_index(run_dir: Path, split: str) -> pd.DataFrame:
    """Which image each row of logits is: row, target, part, group, stratum; ``split`` is ``val`` or an evaluation set.

    Raises:
        UserError: if it is missing, lacks a column or has a part that its split cannot have.
    """
    path = run_dir / names.index(split)
    if not path.is_file():
        raise UserError(f"{path} is missing; run `calibench predict` for this run first")
    index = pd.read_csv(path, dtype={"group": str, "stratum": str, "part": str}, keep_default_na=False)
    missing = {"row", "target", "part"} - set(index.columns)
    if missing:
        raise UserError(f"{path} lacks the column(s) {', '.join(sorted(missing))}; predict this run again")
    unknown = set(index["part"]) - set(names.parts_of(split))
    if unknown:
        raise UserError(f"{path}: part {sorted(unknown)[0]!r} is none of {', '.join(names.parts_of(split))}")
    return index


def read_logits(run_dir: Path, checkpoint: str, split: str, rows: int) -> np.ndarray:
    """Logits (N, K) float32 of a checkpoint for ``val`` or an evaluation set; N must be ``rows``.

    Raises:
        UserError: if the file is missing, not an array, or has another number of rows than its index.
    """
    path = run_dir / names.logits(checkpoint, split)
    try:
        logits = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; predict this run again") from error
    except ValueError as error:
        raise UserError(f"{path} is not a whole .npy array ({error}); delete it and predict again") from error
    if logits.ndim != 2 or len(logits) != rows:
        raise UserError(
            f"{path} has shape {logits.shape} but its index {split}.csv has {rows} rows; predict again"
        )
    return logits


def read_part(run_dir: Path, checkpoint: str, part: str) -> tuple[np.ndarray, pd.DataFrame]:
    """Logits (N, K) and index of one part: ``select``, ``calibrate`` or an evaluation set; N may be 0."""
    split = names.split_of(part)
    index = read_index(run_dir, split)
    logits = read_logits(run_dir, checkpoint, split, len(index))
    mask = (index["part"] == part).to_numpy()
    return logits[mask], index[mask]


def read_training(run_dir: Path, checkpoint: str) -> tuple[np.ndarray, pd.DataFrame]:
    """Logits (N, K) of the training images, in the order of the store, and their index (row, target: true classes).

    Raises:
        UserError: if they are missing, or the two do not fit.
    """
    path = run_dir / names.logits_of_training(checkpoint)
    if not path.is_file():
        raise UserError(f"{path} is missing; run `calibench predict_training` for this run first")
    logits, index = np.load(path, mmap_mode="r"), pd.read_csv(path.with_suffix(".csv"))
    if len(logits) != len(index):
        raise UserError(
            f"{path} has {len(logits)} rows but its index has {len(index)}; predict this run again"
        )
    return logits, index


def checkpoints(run_dir: Path) -> list[str]:
    """The checkpoints that have predictions, in the order top1, nll, last, others by name."""
    folder = run_dir / "predictions"
    found = {p.name for p in folder.iterdir() if p.is_dir()} if folder.is_dir() else set()
    if not found:
        raise UserError(f"{folder} holds no predictions; run `calibench predict` for this run first")
    return [c for c in names.CHECKPOINTS if c in found] + sorted(found - set(names.CHECKPOINTS))


def each_part(run_dir: Path, sets: Sequence[str] = ()) -> Iterator[tuple[str, str, np.ndarray, pd.DataFrame]]:
    """Yield (part, checkpoint, logits, index) of every part that has images, for every checkpoint.

    Args:
        run_dir: folder of a finished run.
        sets: evaluation sets besides test; of each, the checkpoints that were asked about it.
    """
    indices = {split: read_index(run_dir, split) for split in (*names.PARTS, *sets)}
    for checkpoint in checkpoints(run_dir):
        for split, index in indices.items():
            if split in sets and not (run_dir / names.logits(checkpoint, split)).exists():
                continue  # the stage evaluate asks one checkpoint
            logits = read_logits(run_dir, checkpoint, split, len(index))
            for part in names.parts_of(split):
                mask = (index["part"] == part).to_numpy()
                if mask.any():  # `calibrate` is empty when the config asks for none
                    yield part, checkpoint, logits[mask], index[mask]


def read_features(run_dir: Path, split: str) -> tuple[np.ndarray, pd.DataFrame]:
    """Features (N, D) as float32 and their index (row, target).

    Raises:
        UserError: if they are missing, do not fit their index, or are not finite.
    """
    path = run_dir / names.features(split)
    if not path.is_file():
        raise UserError(f"{path} is missing; predict this run again")
    features = np.load(path, allow_pickle=False).astype(np.float32)
    index = pd.read_csv(run_dir / names.features_index(split))
    if len(features) != len(index):
        raise UserError(
            f"{path} has {len(features)} rows but its index has {len(index)}; predict this run again"
        )
    if not np.isfinite(features).all():
        raise UserError(f"{path} holds NaN or infinity; the training diverged")
    return features, index


def history_lines(path: Path) -> list[dict[str, Any]]:
    """One dictionary per finished epoch of a ``history.jsonl``, that of a running run included; none without it.

    Raises:
        UserError: if a line is not JSON.
    """
    if not path.exists():
        return []
    try:
        return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines() if text.strip()]
    except ValueError as error:
        raise UserError(f"{path} holds a line that is not JSON ({error})") from error


def read_history(run_dir: Path) -> pd.DataFrame:
    """``history.jsonl`` as a frame, one row per epoch.

    Raises:
        UserError: if it is missing, empty or broken.
    """
    path = run_dir / names.HISTORY
    if not path.exists():
        raise UserError(f"{path} is missing; train this run first")
    lines = history_lines(path)
    if not lines:
        raise UserError(f"{path} is empty; no epoch has finished")
    return pd.DataFrame(lines)


def read_state(run_dir: Path) -> dict[str, np.ndarray]:
    """Buffers of the run's regime as it ended.

    Raises:
        UserError: if the file is missing.
    """
    from safetensors.numpy import load_file

    path = run_dir / names.STATE
    if not path.is_file():
        raise UserError(f"{path} is missing; train this run first")
    return load_file(path)
