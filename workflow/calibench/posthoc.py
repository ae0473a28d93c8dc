"""Stage: calibrate one run after training; fitted on part `calibrate` only, measured on test.

Writes a long table with a column `calibrator`: none, temperature, vector, isotonic, ensemble_temperature,
and prior where the training set's class frequencies differ from those of validation (a capped, balanced
training set). A run whose data set keeps no validation images for it (``calibrate: 0``) has the rows `none` only.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from calibench.cli import run as run_stage
from calibench.errors import UserError
from calibench.evaluate import KEYS, read_index, read_logits, read_run
from calibench.files import read_json, write_csv
from calibench.metrics import Predictions, core
from calibench.metrics.posthoc import FITS, CalibrateFold, Calibrator, prior

log = logging.getLogger(__name__)
COLUMNS = [*KEYS, "split", "checkpoint", "calibrator", "metric", "value", "n"]


def calibrate_fold(run_dir: Path, checkpoint: str) -> CalibrateFold:
    """The rows of validation that are of part `calibrate`.

    Raises:
        UserError: if the run has none (config: ``calibrate: 0``).
    """
    index = read_index(run_dir / "predictions" / "val.csv")
    logits = read_logits(run_dir, checkpoint, "val", len(index))
    mask = (index["part"] == "calibrate").to_numpy()
    if not mask.any():
        raise UserError(
            f"{run_dir}: no validation images of part calibrate; set the data set's `calibrate` above 0"
        )
    rows = index[mask]
    return CalibrateFold(logits[mask], rows["target"].to_numpy(), rows["part"], f"{run_dir} (calibrate)")


def _keeps_some(run_dir: Path) -> bool:
    return bool((read_index(run_dir / "predictions" / "val.csv")["part"] == "calibrate").any())


def read_priors(path: Path | None) -> list[int] | None:
    """Training images per class after sampling, from ``sample.json``, if sampling changed the class
    frequencies.
    """
    if path is None:
        return None
    priors = read_json(path).get("priors", {})
    before, after = priors.get("before", {}).get("train"), priors.get("after", {}).get("train")
    if not before or not after:
        raise UserError(f"{path} has no priors of train; sample the data set again")
    shift = np.abs(np.asarray(before) / np.sum(before) - np.asarray(after) / np.sum(after))
    return after if shift.max() > 1e-3 else None


def fit_all(fold: CalibrateFold, train_counts: Sequence[int] | None) -> list[Calibrator]:
    """Every calibrator, fitted; ``prior`` only where training frequencies were changed."""
    fitted = [fit(fold) for fit in FITS.values()]
    return fitted + ([prior(fold, train_counts)] if train_counts is not None else [])


def posthoc_run(run_dir: Path, checkpoint: str, train_counts: Sequence[int] | None) -> pd.DataFrame:
    """The long table of one run, columns :data:`COLUMNS`, measures of :func:`calibench.metrics.core` on test.

    Fitted parameters are rows of split ``calibrate`` (``temperature``, the ensemble's weights), and ``errors``, the
    number of wrong predictions there: with none, a temperature is not determined.
    """
    head = {**read_run(run_dir), "checkpoint": checkpoint}
    fold = calibrate_fold(run_dir, checkpoint) if _keeps_some(run_dir) else None
    index = read_index(run_dir / "predictions" / "test.csv")
    logits = read_logits(run_dir, checkpoint, "test", len(index))
    targets, where = index["target"].to_numpy(), f"{run_dir} (test, checkpoint {checkpoint})"
    rows = []

    def add(calibrator: str, split: str, values: dict[str, float], n: int) -> None:
        for metric, value in values.items():
            rows.append(
                {**head, "split": split, "calibrator": calibrator, "metric": metric, "value": value, "n": n}
            )

    add("none", "test", core(Predictions.of(logits, targets, where), where), len(index))
    if fold is None:
        log.warning("%s: calibrate is 0, so nothing can be fitted after training", run_dir)
        return pd.DataFrame(rows, columns=COLUMNS)
    errors = int((fold.logits.argmax(axis=1) != fold.targets).sum())
    add("none", "calibrate", {"errors": errors}, len(fold.targets))
    for calibrator in fit_all(fold, train_counts):
        seen = Predictions.of_probs(calibrator.apply(logits), targets, f"{where}, {calibrator.name}")
        add(calibrator.name, "test", core(seen, where), len(index))
        add(calibrator.name, "calibrate", calibrator.parameters, len(fold.targets))
    return pd.DataFrame(rows, columns=COLUMNS)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = argparse.ArgumentParser(prog="calibench.posthoc", description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True, help="folder of one trained run")
    parser.add_argument("--checkpoint", default="top1", help="which checkpoint's predictions")
    parser.add_argument("--sample", type=Path, help="sample.json of the data set: adds the prior correction")
    parser.add_argument("--out", type=Path, required=True, help="posthoc.csv to write")
    args = parser.parse_args(argv)
    write_csv(posthoc_run(args.run_dir, args.checkpoint, read_priors(args.sample)), args.out)


if __name__ == "__main__":
    run_stage(main)
