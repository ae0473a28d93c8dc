"""Average the probabilities of all seeds of a run, without a network; the result is the run `run@ensemble`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from calibench import cli
from calibench.calibrators import FITS
from calibench.calibrators.fold import CalibrateFold, Calibrator
from calibench.errors import UserError
from calibench.files import write_csv
from calibench.finished import names
from calibench.finished.derived import write_predictions, write_record
from calibench.finished.read import checkpoints, read_index, read_keys, read_logits, read_part
from calibench.metrics import Predictions
from calibench.metrics.disagreement import Members
from calibench.tables.long import METRICS


def shared_keys(members: Sequence[Path], calibrator: str) -> dict[str, Any]:
    """Keys of the ensemble: those of its members, with ``@ensemble`` after the variant, and seed 0.

    UserError for fewer than two members, or members that differ in more than their seed.
    """
    every = [read_keys(folder) for folder in members]
    if len(every) < 2:
        raise UserError("an ensemble needs the records of at least two seeds")
    alone = {key: value for key, value in every[0].items() if key != "seed"}
    for folder, keys in zip(members, every, strict=True):
        if {**keys, "seed": 0} != {**alone, "seed": 0}:
            raise UserError(
                f"{folder} is another run than {members[0]}: members must differ only in the seed"
            )
    first = "" if calibrator == "none" else f"@{calibrator}"
    return alone | {"variant": f"{alone['variant']}{first}@ensemble", "seed": 0}


def _fit(folder: Path, checkpoint: str, calibrator: str) -> Calibrator | None:
    if calibrator == "none":
        return None
    logits, index = read_part(folder, checkpoint, "calibrate")
    if index.empty:
        raise UserError(f"{folder} has no images in part calibrate to fit '{calibrator}'; use none")
    fold = CalibrateFold(logits, index["target"].to_numpy(), index["part"], f"{folder} (calibrate)")
    return FITS[calibrator](fold)


def average(
    members: Sequence[Path], checkpoint: str, split: str, fitted: Sequence[Calibrator | None]
) -> tuple[Members, pd.DataFrame]:
    """All members on one split, each after its own calibrator, and their index; UserError if the images differ."""
    together, index = Members(), read_index(members[0], split)
    targets = index["target"].to_numpy()
    for folder, calibrator in zip(members, fitted, strict=True):
        if not read_index(folder, split).equals(index):
            raise UserError(
                f"{folder} has predictions for other images of {split} than {members[0]}; predict again"
            )
        logits, where = read_logits(folder, checkpoint, split, len(index)), f"{folder} ({split})"
        seen = Predictions.of(logits, targets, where)
        together.add(Predictions.of_probs(calibrator.apply(logits), targets, where) if calibrator else seen)
    return together, index


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("--calibrator", default="none", choices=["none", *FITS], help="for each member")
    parser.add_argument("--checkpoint", default="top1", help="checkpoint of the predictions on --sets")
    cli.add_sets(parser)
    parser.add_argument("--record", type=Path, required=True, help="run.json to write, next to predictions")
    parser.add_argument("--out", type=Path, required=True, help="CSV of the disagreement to write")
    cli.add_records(parser)
    args = parser.parse_args(argv)
    members = [record.parent for record in args.records]
    keys, rows = shared_keys(members, args.calibrator), []
    for checkpoint in checkpoints(members[0]):
        fitted = [_fit(folder, checkpoint, args.calibrator) for folder in members]
        for split in (*names.PARTS, *(args.sets if checkpoint == args.checkpoint else ())):
            together, index = average(members, checkpoint, split, fitted)
            write_predictions(args.record.parent, checkpoint, split, together.probs, index)
            if split != "val":
                head = {"split": split, "checkpoint": checkpoint, "n": len(index)}
                found = together.measures().items()
                rows += [{**head, "metric": metric, "value": value} for metric, value in found]
    write_csv(pd.DataFrame(rows).assign(**keys)[METRICS], args.out)
    write_record(args.record.parent, keys, [str(folder) for folder in members], args.calibrator)
