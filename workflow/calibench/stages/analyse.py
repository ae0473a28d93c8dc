"""Measure runs from their stored logits: all measures, maps after training, strata, confidences, sets, warnings."""

import functools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench import cli
from calibench.calibrators.fold import CalibrateFold
from calibench.calibrators.measured import after_calibration, changed_priors
from calibench.calibrators.refinement import nll_parts
from calibench.data.stored import class_numbers
from calibench.errors import UserError
from calibench.files import read_json, write_csv
from calibench.finished.read import each_part, read_history, read_keys, read_part, read_record
from calibench.metrics import Predictions, measure_all, warn_of_few
from calibench.metrics.confidence import best_norm, selective
from calibench.metrics.conformal import Labelled, prediction_sets, uniforms
from calibench.metrics.coverage import COLUMNS as COVERAGES
from calibench.metrics.coverage import coverages
from calibench.metrics.human import human, vote_shares
from calibench.metrics.strata import by_stratum
from calibench.planning.configuration import statistics_settings
from calibench.statistics.decision import COLUMNS as DECISIONS
from calibench.statistics.decision import decisions
from calibench.statistics.facts import facts
from calibench.statistics.resampling import group_codes
from calibench.tables.long import RUN_TABLES

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What to measure: the folder of a run, a checkpoint, evaluation sets besides test, and settings of statistics.

    Args:
        counts: training images per class, where ``prior`` is wanted.
        votes: (rows of the store, K) votes of readers, or None.
        positive: numbers of the classes that are a finding.
    """

    run_dir: Path
    checkpoint: str = "top1"
    settings: dict[str, Any] = field(default_factory=lambda: statistics_settings("{}"))
    sets: Sequence[str] = ()
    counts: Sequence[int] | None = None
    votes: np.ndarray | None = None
    positive: Sequence[int] = ()

    @property
    def where(self) -> str:
        """What to call the run in an error."""
        return f"{self.run_dir}, checkpoint {self.checkpoint}"

    def each_set(self) -> Iterator[tuple[str, Predictions, pd.DataFrame]]:
        """Name, predictions and index of test and of every other set; all at once may not fit into memory."""
        for split in ("test", *self.sets):
            yield split, *read_seen(self.run_dir, self.checkpoint, split)

    def human(self, part: str, seen: Predictions, index: pd.DataFrame) -> dict[str, float]:
        """Measures against the votes, where these images have any."""
        if self.votes is None or part != "test":
            return {}
        return human(
            seen, vote_shares(self.votes[index["row"]], seen.probs.shape[1], f"votes of {self.run_dir}")
        )


@functools.lru_cache(maxsize=1)  # the tables of a set follow each other, and a softmax of all classes is slow
def read_seen(run_dir: Path, checkpoint: str, split: str) -> tuple[Predictions, pd.DataFrame]:
    """Checked predictions on an evaluation set, and its index."""
    logits, index = read_part(run_dir, checkpoint, split)
    where = f"{run_dir} ({split}, checkpoint {checkpoint})"
    return Predictions.of(logits, index["target"].to_numpy(), where), index


def metrics_of(asked: Asked) -> pd.DataFrame:
    """Every measure on every part, evaluation set and checkpoint, as fractions (NLL in nats)."""
    rows, warned = [], set()
    for part, checkpoint, logits, index in each_part(asked.run_dir, asked.sets):
        targets, where = index["target"].to_numpy(), f"{asked.run_dir} ({part}, checkpoint {checkpoint})"
        if part not in warned:
            warned.add(part)
            warn_of_few(targets, logits.shape[1], f"{asked.run_dir} ({part})")
        seen = Predictions.of(logits, targets, where)
        if checkpoint == asked.checkpoint and part in ("test", *asked.sets):
            seen = read_seen(asked.run_dir, checkpoint, part)[0]
        fold = calibrate_fold(asked.run_dir, checkpoint)
        values = measure_all(seen, where) | asked.human(part, seen, index)
        values |= {} if fold is None else nll_parts(seen, fold)
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


@functools.lru_cache(maxsize=4)
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


def strata_names(index: pd.DataFrame) -> pd.Series:
    """Stratum of each image of an index, '' where it has none."""
    return index["stratum"] if "stratum" in index else pd.Series(np.full(len(index), ""))


def facts_of(asked: Asked) -> pd.DataFrame:
    """The warnings about a run; a run that was not trained here has no epochs."""
    seen, _ = read_seen(asked.run_dir, asked.checkpoint, "test")
    record = read_record(asked.run_dir)
    history = read_history(asked.run_dir) if record.get("epochs") else pd.DataFrame()
    return facts(seen, history, record.get("epochs", {}), asked.checkpoint)


def strata_of(asked: Asked) -> pd.DataFrame:
    """Every measure in every stratum of each evaluation set."""
    frames = []
    for split, seen, index in asked.each_set():
        found = by_stratum(seen.scores, seen.targets, strata_names(index), f"{asked.where} ({split})")
        frames.append(found.assign(split=split))
    return pd.concat(frames, ignore_index=True)


def selective_of(asked: Asked) -> pd.DataFrame:
    """How well each confidence function finds the errors of each set; the norm of ``max_logit`` is split ``calibrate``.

    Without a part `calibrate`, or where no norm is better there, ``max_logit`` is the largest probability and the norm
    is left empty.
    """
    fold = calibrate_fold(asked.run_dir, asked.checkpoint)
    norm = None if fold is None else best_norm(Predictions.of(fold.logits, fold.targets, asked.where))
    chosen = (np.nan if norm is None else norm, 0 if fold is None else len(fold.targets))
    rows = [("calibrate", "max_logit", "norm", *chosen)]
    for split, seen, index in asked.each_set():
        for name, values in selective(seen, norm).items():
            rows += [(split, name, metric, value, len(index)) for metric, value in values.items()]
    return pd.DataFrame(rows, columns=["split", "confidence", "metric", "value", "n"])


def conformal_of(asked: Asked) -> pd.DataFrame:
    """Coverage and size of conformal sets on each evaluation set, thresholds from the part `calibrate`; none without."""
    level, frames = asked.settings["conformal"], [pd.DataFrame(columns=[*COVERAGES, "split"])]
    logits, index = read_part(asked.run_dir, asked.checkpoint, "calibrate")
    if len(index):
        known = _labelled(Predictions.of(logits, index["target"].to_numpy(), asked.where), index)
        for split, seen, at in asked.each_set():
            for sets in prediction_sets(known, _labelled(seen, at), level):
                table = coverages(sets, seen.targets, strata_names(at), groups_of(at), level)
                frames.append(table.assign(split=split))
    return pd.concat([frame for frame in frames if len(frame)] or frames, ignore_index=True)


def _labelled(seen: Predictions, index: pd.DataFrame) -> Labelled:
    return Labelled(seen.probs, seen.targets, uniforms(index["row"].to_numpy(), 0), groups_of(index))


def decision_of(asked: Asked) -> pd.DataFrame:
    """Net benefit and calibration for the positive classes on each evaluation set; none where none is declared."""
    if not asked.positive:
        return pd.DataFrame(columns=[*DECISIONS, "split"])
    frames = []
    for split, seen, index in asked.each_set():
        found = decisions(seen, asked.positive, groups_of(index), asked.settings["level"])
        frames.append(found.assign(split=split))
    return pd.concat(frames, ignore_index=True)


def analyse_run(asked: Asked) -> dict[str, pd.DataFrame]:
    """The long tables of a run, by their names in :data:`calibench.tables.long.RUN_TABLES`."""
    fold = calibrate_fold(asked.run_dir, asked.checkpoint)
    scored = ((split, seen, groups_of(index)) for split, seen, index in asked.each_set())
    return {
        "metrics": metrics_of(asked),
        "posthoc": after_calibration(fold, scored, asked.counts, asked.where, asked.settings["calibrators"]),
        "strata": strata_of(asked),
        "selective": selective_of(asked),
        "conformal": conformal_of(asked),
        "decision": decision_of(asked),
        "warnings": facts_of(asked),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    cli.add_records(parser)
    parser.add_argument("--checkpoint", default="top1", help="predictions for all tables but metrics")
    parser.add_argument("--settings", default="{}", help="JSON: any keys of statistics")
    parser.add_argument("--sample", type=Path, help="sample.json of the data set: adds the prior correction")
    parser.add_argument("--classes", type=Path, help="classes.csv, for statistics.positive")
    parser.add_argument("--votes", type=Path, help="votes of readers (stage votes)")
    cli.add_sets(parser)
    for table in RUN_TABLES:
        parser.add_argument(f"--out-{table}", type=Path, help=f"{table}.csv, written where it is named")
    args = parser.parse_args(argv)
    settings = statistics_settings(args.settings)
    counts = train_counts(args.sample) if args.sample else None
    votes = np.load(args.votes) if args.votes else None
    positive = class_numbers(args.classes, settings["positive"]) if settings["positive"] else ()
    found: dict[str, list[pd.DataFrame]] = {table: [] for table in RUN_TABLES}
    for record in args.records:
        asked = Asked(record.parent, args.checkpoint, settings, args.sets, counts, votes, positive)
        keys: dict[str, Any] = read_keys(asked.run_dir) | {"checkpoint": args.checkpoint}
        for table, frame in analyse_run(asked).items():
            new = {key: value for key, value in keys.items() if key not in frame}
            found[table].append(frame.assign(**new)[RUN_TABLES[table]])
    for table, frames in found.items():
        if out := getattr(args, f"out_{table}"):
            write_csv(pd.concat(frames, ignore_index=True), out)
