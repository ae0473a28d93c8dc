"""Stage: every measure per stratum (modality, anatomy) of the test set, the worst stratum marked."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from calibench.cli import run as run_stage
from calibench.evaluate import KEYS, read_index, read_logits, read_run
from calibench.files import write_csv
from calibench.metrics import Predictions, measure_all
from calibench.metrics.debiased import null_distribution

COLUMNS = [*KEYS, "checkpoint", "level", "stratum", "metric", "value", "n", "worst"]
SMALLEST = 50  # fewer images than this cannot be the worst stratum: their ECE is mostly noise
NULL_DRAWS, NULL_TAILS = 400, (0.025, 0.975)  # of the ECE of a calibrated network; seeded, so runs agree
HIGH_IS_BAD = ["top1_error", "top5_error", "ece", "ece_debiased", "smooth_ece", "nll", "brier", "aurc"]
LOW_IS_BAD = ["balanced_accuracy", "f1", "auroc_present", "r_auc_normalised", "coverage_at_5"]


def levels(stratum: pd.Series) -> dict[int, pd.Series]:
    """Level 1 = the first component (``CT``), level 2 = the whole (``CT/abd``) where it says more, level 3 = the rest
    whatever the first (``*/abd``) where several first components share one.

    Rows without a stratum are ``unknown``; a level with one stratum only is left out.
    """
    known = stratum.where(stratum != "", "unknown")
    first = known.str.split("/").str[0]
    rest = "*/" + known.str.partition("/")[2].where(known.str.contains("/"), "unknown")
    found = {1: first} if (first == known).all() else {1: first, 2: known}
    found |= {3: rest} if rest.nunique() < known.nunique() and len(found) == 2 else {}
    return {level: names for level, names in found.items() if names.nunique() > 1}


def strata_run(run_dir: Path, checkpoint: str) -> pd.DataFrame:
    """The long table of one run, columns :data:`COLUMNS`; empty when the data have no strata.

    Beside the measures of docs/metrics.md, ``ece_null_low`` and ``ece_null_high``: where the ECE of a calibrated
    network with these confidences lies in 95 % of draws. ``worst`` marks, per level and measure that has a bad side,
    the worst value among strata with at least 50 images (the largest |value| for ``gap``).
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
            seen = Predictions.of(logits[mask], targets[mask], where)
            values = measure_all(seen, where) | null_band(seen)
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


def null_band(seen: Predictions) -> dict[str, float]:
    """Where the ECE would lie if these confidences were calibrated: images drawn one by one."""
    null = null_distribution(seen.confidence, NULL_DRAWS, 0)
    low, high = np.quantile(null, NULL_TAILS)
    return {"ece_null_low": float(low), "ece_null_high": float(high)}


def _worst(frame: pd.DataFrame) -> np.ndarray:
    value = frame["value"].mask(frame["metric"] == "gap", frame["value"].abs())
    bad = value.mask(frame["metric"].isin(LOW_IS_BAD), -value)
    judged = frame["metric"].isin([*HIGH_IS_BAD, *LOW_IS_BAD, "gap"]) & (frame["n"] >= SMALLEST)
    bad = bad.where(judged)
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
