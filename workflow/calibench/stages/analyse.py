"""Measure one run from its stored logits: all measures, calibration after training, strata, and warnings."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench import cli
from calibench.calibrators.fold import CalibrateFold
from calibench.calibrators.measured import after_calibration, changed_priors
from calibench.errors import UserError
from calibench.files import read_json, write_csv
from calibench.finished.read import each_part, read_history, read_keys, read_part, read_record
from calibench.metrics import Predictions, measure, warn_of_few
from calibench.metrics.strata import by_stratum
from calibench.statistics.facts import facts
from calibench.statistics.resampling import group_codes
from calibench.tables.long import CALIBRATED, METRICS, STRATA, WARNINGS

log = logging.getLogger(__name__)


def metrics_of(run_dir: Path) -> pd.DataFrame:
    """Every measure on every part and checkpoint, as fractions (NLL in nats)."""
    rows, warned = [], set()
    for part, checkpoint, logits, index in each_part(run_dir):
        targets = index["target"].to_numpy()
        if part not in warned:
            warned.add(part)
            warn_of_few(targets, logits.shape[1], f"{run_dir} ({part})")
        values = measure(logits, targets, f"{run_dir} ({part}, checkpoint {checkpoint})")
        head = {"split": part, "checkpoint": checkpoint, "n": len(index)}
        rows += [{**head, "metric": name, "value": value} for name, value in values.items()]
    return pd.DataFrame(rows)


def train_counts(sample: Path) -> Sequence[int] | None:
    """Training images per class from ``sample.json``, where sampling changed the class frequencies."""
    priors = read_json(sample).get("priors", {})
    before, after = priors.get("before", {}).get("train"), priors.get("after", {}).get("train")
    if not before or not after:
        raise UserError(f"{sample} has no priors of train; run the stage sample again")
    return changed_priors(before, after)


def calibrate_fold(run_dir: Path, checkpoint: str) -> CalibrateFold | None:
    """The part `calibrate` of a run; None if the config has none."""
    logits, index = read_part(run_dir, checkpoint, "calibrate")
    if index.empty:
        return None
    where = f"{run_dir} (calibrate)"
    return CalibrateFold(logits, index["target"].to_numpy(), index["part"], where, groups_of(index))


def groups_of(index: pd.DataFrame) -> np.ndarray:
    """Group codes (N,) of the images of an index; without groups each image is its own group."""
    return group_codes(np.asarray(index["group"] if "group" in index else np.full(len(index), "")))


def facts_of(run_dir: Path, checkpoint: str, seen: Predictions) -> pd.DataFrame:
    """Warnings about the numbers of a run."""
    epochs = read_record(run_dir).get("epochs", {})
    return facts(seen, read_history(run_dir), epochs, checkpoint)


def analyse_run(
    run_dir: Path, checkpoint: str, counts: Sequence[int] | None
) -> dict[str, tuple[pd.DataFrame, list[str]]]:
    """The long tables of a run with their columns: metrics, posthoc, strata, warnings."""
    logits, index = read_part(run_dir, checkpoint, "test")
    targets, where = index["target"].to_numpy(), f"{run_dir} (test, checkpoint {checkpoint})"
    strata = index["stratum"] if "stratum" in index else pd.Series(np.full(len(index), ""))
    fold = calibrate_fold(run_dir, checkpoint)
    return {
        "metrics": (metrics_of(run_dir), METRICS),
        "posthoc": (
            after_calibration(fold, logits, targets, counts, where, groups_of(index)),
            CALIBRATED,
        ),
        "strata": (by_stratum(logits, targets, strata, where), STRATA),
        "warnings": (facts_of(run_dir, checkpoint, Predictions.of(logits, targets, where)), WARNINGS),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    cli.add_record(parser)
    parser.add_argument("--checkpoint", default="top1", help="predictions for calibration and strata")
    parser.add_argument("--sample", type=Path, help="sample.json of the data set: adds the prior correction")
    for table in ("metrics", "posthoc", "strata", "warnings"):
        parser.add_argument(f"--out-{table}", type=Path, required=True, help=f"{table}.csv to write")
    args = parser.parse_args(argv)
    counts = train_counts(args.sample) if args.sample else None
    keys: dict[str, Any] = read_keys(args.record.parent)
    for table, (frame, columns) in analyse_run(args.record.parent, args.checkpoint, counts).items():
        frame = frame.assign(**keys, **({} if "checkpoint" in frame else {"checkpoint": args.checkpoint}))
        write_csv(frame[columns], getattr(args, f"out_{table}"))
