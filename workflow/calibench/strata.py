"""Stage: the core measures per stratum (modality, anatomy) of the test set, the worst stratum marked."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from calibench.cli import run as run_stage
from calibench.evaluate import KEYS, read_index, read_logits, read_run
from calibench.files import write_csv
from calibench.metrics import Predictions, core

COLUMNS = [*KEYS, "checkpoint", "level", "stratum", "metric", "value", "n", "worst"]
SMALLEST = 50  # fewer images than this cannot be the worst stratum: their ECE is mostly noise
HIGH_IS_BAD = ["top1_error", "top5_error", "ece", "ece_debiased", "nll", "brier"]


def levels(stratum: pd.Series) -> dict[int, pd.Series]:
    """Level 1 = the first component (``CT``), level 2 = the whole (``CT/abd``) where it says more.

    Rows without a stratum are ``unknown``; a level with one stratum only is left out.
    """
    known = stratum.where(stratum != "", "unknown")
    first = known.str.split("/").str[0]
    found = {1: first} if (first == known).all() else {1: first, 2: known}
    return {level: names for level, names in found.items() if names.nunique() > 1}


def strata_run(run_dir: Path, checkpoint: str) -> pd.DataFrame:
    """The long table of one run, columns :data:`COLUMNS`; empty when the data have no strata.

    ``worst`` marks, per level and measure where high is bad, the largest value among strata with at least
    50 images (|value| for ``gap``).
    """
    identity = read_run(run_dir)
    index = read_index(run_dir / "predictions" / "test.csv")
    logits = read_logits(run_dir, checkpoint, "test", len(index))
    targets = index["target"].to_numpy()
    rows = []
    for level, names in levels(index["stratum"].astype(str)).items() if "stratum" in index else ():
        for name in sorted(names.unique()):
            mask = (names == name).to_numpy()
            where = f"{run_dir} (test, stratum {name})"
            values = core(Predictions.of(logits[mask], targets[mask], where), where)
            head = {
                **identity,
                "checkpoint": checkpoint,
                "level": level,
                "stratum": name,
                "n": int(mask.sum()),
            }
            rows += [{**head, "metric": metric, "value": value} for metric, value in values.items()]
    frame = pd.DataFrame(rows, columns=COLUMNS[:-1])
    return frame.assign(worst=_worst(frame))


def _worst(frame: pd.DataFrame) -> np.ndarray:
    bad = frame["value"].abs().where(frame["metric"].isin([*HIGH_IS_BAD, "gap"]) & (frame["n"] >= SMALLEST))
    worst = np.zeros(len(frame), dtype=int)
    for _, part in bad.groupby([frame["level"], frame["metric"]]):
        if part.notna().any():
            worst[frame.index.get_loc(part.idxmax())] = 1
    return worst


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = argparse.ArgumentParser(prog="calibench.strata", description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True, help="folder of one trained run")
    parser.add_argument("--checkpoint", default="top1", help="which checkpoint's predictions")
    parser.add_argument("--out", type=Path, required=True, help="strata.csv to write")
    args = parser.parse_args(argv)
    write_csv(strata_run(args.run_dir, args.checkpoint), args.out)


if __name__ == "__main__":
    run_stage(main)
