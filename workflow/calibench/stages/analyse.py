"""Measure runs from their stored logits: every measure, calibration after training, strata, confidences, warnings."""

import logging
from collections.abc import Iterable, Iterator, Sequence
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
from calibench.metrics.confidence import best_norm, selective
from calibench.metrics.strata import by_stratum
from calibench.statistics.facts import facts
from calibench.statistics.resampling import group_codes
from calibench.tables.long import CALIBRATED, METRICS, SELECTIVE, STRATA, WARNINGS

log = logging.getLogger(__name__)
Set = tuple[str, np.ndarray, pd.DataFrame]  # name of an evaluation set, logits (N, K), index
TABLES = {
    "metrics": METRICS,
    "posthoc": CALIBRATED,
    "strata": STRATA,
    "selective": SELECTIVE,
    "warnings": WARNINGS,
}


def metrics_of(run_dir: Path, sets: Sequence[str] = ()) -> pd.DataFrame:
    """Every measure on every part, evaluation set and checkpoint, as fractions (NLL in nats)."""
    rows, warned = [], set()
    for part, checkpoint, logits, index in each_part(run_dir, sets):
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
        raise UserError(f"{sample} has no priors of train; sample the data set again")
    return changed_priors(before, after)


def calibrate_fold(run_dir: Path, checkpoint: str) -> CalibrateFold | None:
    """The part `calibrate` of a run; None where the config keeps none."""
    logits, index = read_part(run_dir, checkpoint, "calibrate")
    if index.empty:
        return None
    where = f"{run_dir} (calibrate)"
    return CalibrateFold(logits, index["target"].to_numpy(), index["part"], where, groups_of(index))


def groups_of(index: pd.DataFrame) -> np.ndarray:
    """Group codes (N,) of the images of an index; each its own where there are no groups."""
    return group_codes(np.asarray(index["group"] if "group" in index else np.full(len(index), "")))


def facts_of(run_dir: Path, checkpoint: str) -> pd.DataFrame:
    """What must be said of a run beside its numbers on test; a derived run was not trained and has no epochs."""
    logits, index = read_part(run_dir, checkpoint, "test")
    seen = Predictions.of(logits, index["target"].to_numpy(), f"{run_dir} (test, checkpoint {checkpoint})")
    record = read_record(run_dir)
    history = pd.DataFrame() if "derived" in record else read_history(run_dir)
    return facts(seen, history, record.get("epochs", {}), checkpoint)


def strata_of(sets: Iterable[Set], where: str) -> pd.DataFrame:
    """Every measure in every stratum of each evaluation set."""
    frames = []
    for split, logits, index in sets:
        strata = index["stratum"] if "stratum" in index else pd.Series(np.full(len(index), ""))
        found = by_stratum(logits, index["target"].to_numpy(), strata, f"{where} ({split})")
        frames.append(found.assign(split=split))
    return pd.concat(frames, ignore_index=True)


def selective_of(fold: CalibrateFold | None, sets: Iterable[Set], where: str) -> pd.DataFrame:
    """How well each confidence function finds the errors of each set; the norm of ``max_logit`` is split ``calibrate``.

    Without a part `calibrate`, or where no norm is better there, ``max_logit`` is the largest probability and the norm
    is left empty.
    """
    norm = None if fold is None else best_norm(Predictions.of(fold.logits, fold.targets, where))
    chosen = (np.nan if norm is None else norm, 0 if fold is None else len(fold.targets))
    rows = [("calibrate", "max_logit", "norm", *chosen)]
    for split, logits, index in sets:
        seen = Predictions.of(logits, index["target"].to_numpy(), f"{where} ({split})")
        for name, values in selective(seen, norm).items():
            rows += [(split, name, metric, value, len(index)) for metric, value in values.items()]
    return pd.DataFrame(rows, columns=["split", "confidence", "metric", "value", "n"])


def analyse_run(
    run_dir: Path, checkpoint: str, counts: Sequence[int] | None, sets: Sequence[str] = ()
) -> dict[str, pd.DataFrame]:
    """The long tables of a run, by their names in :data:`TABLES`."""
    where = f"{run_dir}, checkpoint {checkpoint}"
    fold = calibrate_fold(run_dir, checkpoint)

    def each_set() -> Iterator[Set]:  # read again for each table: all sets at once may not fit into memory
        for split in ("test", *sets):
            yield split, *read_part(run_dir, checkpoint, split)

    scored = ((name, logits, at["target"].to_numpy(), groups_of(at)) for name, logits, at in each_set())
    return {
        "metrics": metrics_of(run_dir, sets),
        "posthoc": after_calibration(fold, scored, counts, where),
        "strata": strata_of(each_set(), where),
        "selective": selective_of(fold, each_set(), where),
        "warnings": facts_of(run_dir, checkpoint),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    cli.add_records(parser)
    parser.add_argument("--checkpoint", default="top1", help="predictions for calibration and strata")
    parser.add_argument("--sample", type=Path, help="sample.json of the data set: adds the prior correction")
    cli.add_sets(parser)
    for table in TABLES:
        parser.add_argument(f"--out-{table}", type=Path, help=f"{table}.csv, written where it is named")
    args = parser.parse_args(argv)
    counts = train_counts(args.sample) if args.sample else None
    found: dict[str, list[pd.DataFrame]] = {table: [] for table in TABLES}
    for record in args.records:
        keys: dict[str, Any] = read_keys(record.parent) | {"checkpoint": args.checkpoint}
        for table, frame in analyse_run(record.parent, args.checkpoint, counts, args.sets).items():
            new = {key: value for key, value in keys.items() if key not in frame}
            found[table].append(frame.assign(**new)[TABLES[table]])
    for table, frames in found.items():
        if out := getattr(args, f"out_{table}"):
            write_csv(pd.concat(frames, ignore_index=True), out)
