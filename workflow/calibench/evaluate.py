"""Stage: measure one run from its stored logits alone; no model is loaded and torch is not imported."""

import argparse
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench.cli import run as run_stage
from calibench.errors import UserError
from calibench.files import read_json, write_csv
from calibench.metrics import measure
from calibench.metrics.calibration import BINS

log = logging.getLogger(__name__)
KEYS = ["dataset", "backbone", "regime", "variant", "seed"]
COLUMNS = [*KEYS, "split", "checkpoint", "metric", "value", "n"]
CHECKPOINTS = ["top1", "nll", "last"]
PARTS = {"val": ["select", "calibrate"], "test": ["test"]}  # how a file of predictions falls into splits


def read_run(run_dir: Path) -> dict[str, Any]:
    """The ``run`` entry of ``run.json``: dataset, backbone, regime, variant, seed.

    Raises:
        UserError: if the file is missing or lacks one of them.
    """
    entry = read_json(run_dir / "run.json").get("run", {})
    missing = [key for key in KEYS if key not in entry]
    if missing:
        raise UserError(f"{run_dir / 'run.json'}: run lacks {', '.join(missing)}; train this run again")
    return {key: entry[key] for key in KEYS}


def read_index(path: Path) -> pd.DataFrame:
    """Read ``predictions/{val,test}.csv``: row, target, part, group, stratum, in the order of the logits.

    Raises:
        UserError: if it is missing, lacks a column or has a part that its split cannot have.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; run `python -m calibench.predict` for this run first")
    index = pd.read_csv(path, dtype={"group": str, "stratum": str, "part": str}, keep_default_na=False)
    missing = {"row", "target", "part"} - set(index.columns)
    if missing:
        raise UserError(f"{path} lacks the column(s) {', '.join(sorted(missing))}; predict this run again")
    unknown = set(index["part"]) - set(PARTS[path.stem])
    if unknown:
        raise UserError(f"{path}: part {sorted(unknown)[0]!r} is none of {', '.join(PARTS[path.stem])}")
    return index


def read_logits(run_dir: Path, checkpoint: str, split: str, rows: int) -> np.ndarray:
    """Read the (N, K) float32 logits of a checkpoint for ``val`` or ``test``; N must be ``rows``.

    Raises:
        UserError: if the file is missing, not an array, or has another number of rows than its index.
    """
    path = run_dir / "predictions" / checkpoint / f"{split}.npy"
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


def checkpoints(run_dir: Path) -> list[str]:
    """The checkpoints that have predictions, in the order top1, nll, last, others by name."""
    folder = run_dir / "predictions"
    found = {p.name for p in folder.iterdir() if p.is_dir()} if folder.is_dir() else set()
    if not found:
        raise UserError(
            f"{folder} holds no predictions; run `python -m calibench.predict` for this run first"
        )
    return [c for c in CHECKPOINTS if c in found] + sorted(found - set(CHECKPOINTS))


def each_prediction(run_dir: Path) -> Iterator[tuple[str, str, np.ndarray, pd.DataFrame]]:
    """Yield (split, checkpoint, logits, index) for select, calibrate and test of every checkpoint."""
    indices = {split: read_index(run_dir / "predictions" / f"{split}.csv") for split in PARTS}
    for checkpoint in checkpoints(run_dir):
        for split, index in indices.items():
            logits = read_logits(run_dir, checkpoint, split, len(index))
            for part in PARTS[split]:
                mask = (index["part"] == part).to_numpy()
                if mask.any():  # `calibrate` is empty when the config asks for none
                    yield part, checkpoint, logits[mask], index[mask]


def evaluate_run(run_dir: Path) -> pd.DataFrame:
    """The long table of one run, columns :data:`COLUMNS`; every value a fraction (NLL in nats)."""
    run_dir = Path(run_dir)
    identity = read_run(run_dir)
    rows = []
    told = set()
    for split, checkpoint, logits, index in each_prediction(run_dir):
        if split not in told:
            told.add(split)
            _warn(index["target"].to_numpy(), logits.shape[1], f"{run_dir} ({split})")
        where = f"{run_dir} ({split}, checkpoint {checkpoint})"
        values = measure(logits, index["target"].to_numpy(), where)
        head = {**identity, "split": split, "checkpoint": checkpoint}
        rows += [{**head, "metric": name, "value": value, "n": len(index)} for name, value in values.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def _warn(targets: np.ndarray, num_classes: int, where: str) -> None:
    """Say what makes some measures undefined or noisy, once per split."""
    absent = num_classes - len(np.unique(targets))
    if absent:
        log.warning(
            "%s: %d of %d classes have no image; macro AUROC is undefined and left empty",
            where,
            absent,
            num_classes,
        )
    if len(targets) < BINS:
        log.warning(
            "%s: %d images for %d bins; calibration errors are mostly noise", where, len(targets), BINS
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = argparse.ArgumentParser(prog="calibench.evaluate", description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True, help="folder of one trained run")
    parser.add_argument("--out", type=Path, required=True, help="metrics.csv to write")
    args = parser.parse_args(argv)
    write_csv(evaluate_run(args.run_dir), args.out)


if __name__ == "__main__":
    run_stage(main)
