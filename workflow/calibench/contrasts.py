"""Stage: the comparisons named in the config beforehand, and which cells cannot be told from the best.

A contrast is a pair of runs, as ["ols", "hard"]; `hard@temperature` is the run `hard` after temperature
scaling fitted on part `calibrate`. Runs are paired by seed and image.
"""

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench.cli import run as run_stage
from calibench.errors import UserError
from calibench.evaluate import read_run
from calibench.files import write_csv
from calibench.metrics import Predictions
from calibench.metrics.inference import holm, paired_difference
from calibench.metrics.posthoc import FITS
from calibench.metrics.resampling import sample_values
from calibench.posthoc import calibrate_fold
from calibench.resample import read_test

log = logging.getLogger(__name__)
METRICS = ["nll", "ece", "top1_error", "brier"]
DEFAULTS: dict[str, Any] = {"contrasts": [["ols", "hard"]], "level": 0.95, "metrics": METRICS}
COLUMNS = [
    "family",
    "dataset",
    "backbone",
    "metric",
    "run",
    "reference",
    "difference",
    "low",
    "high",
    "p",
    "p_holm",
    "seeds",
    "groups",
    "se_seeds",
    "se_images",
    "verdict",
]


def check_settings(text: str) -> dict[str, Any]:
    """Parse the stage's part of the settings `statistics`; other keys are other stages' and are ignored.

    Raises:
        UserError: no JSON object, a contrast that is no pair, an unknown metric or calibrator.
    """
    try:
        settings = DEFAULTS | json.loads(text)
    except (ValueError, TypeError) as error:
        raise UserError(f"--settings is not a JSON object: {error}") from error
    for pair in settings["contrasts"]:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(x, str) for x in pair)):
            raise UserError(f"statistics: contrasts: {pair!r} is no pair of runs, as [ols, hard]")
        if pair[0] == pair[1]:
            raise UserError(f"statistics: contrasts: {pair!r} compares a run with itself")
        for name in pair:
            calibrator = name.partition("@")[2]
            if "@" in name and calibrator not in FITS:
                raise UserError(
                    f"statistics: contrasts: {name!r}: no calibrator {calibrator!r}; use {', '.join(FITS)}"
                )
    unknown = set(settings["metrics"]) - set(METRICS) - {"top5_error", "gap", "avg_confidence"}
    if unknown:
        raise UserError(
            f"statistics: metrics: {sorted(unknown)[0]!r} has no paired test; use {', '.join(METRICS)}"
        )
    return settings


class Runs:
    """Per-image values of the runs of one dataset and backbone, read when first asked for.

    Args:
        folders: {(run name, seed): folder}.
        checkpoint: which predictions.
        metrics: which per-image values to keep.
    """

    def __init__(self, folders: dict[tuple[str, int], Path], checkpoint: str, metrics: list[str]) -> None:
        self.folders, self.checkpoint, self.metrics = folders, checkpoint, metrics
        self.codes: np.ndarray | None = None
        self.rows: pd.Series | None = None
        self.targets: np.ndarray | None = None
        self.cache: dict[tuple[str, int], dict[str, np.ndarray]] = {}

    def seeds(self, name: str) -> set[int]:
        """Seeds of a run name (``hard@temperature`` has those of ``hard``)."""
        return {seed for run, seed in self.folders if run == name.partition("@")[0]}

    def values(self, name: str, seed: int) -> dict[str, np.ndarray]:
        """{metric: (N,) per-image values}, in float32: differences, not sums, are taken of them."""
        if (name, seed) not in self.cache:
            run, _, calibrator = name.partition("@")
            folder = self.folders[run, seed]
            seen, codes, rows = read_test(folder, self.checkpoint)
            if self.rows is None:
                self.rows, self.codes, self.targets = rows, codes, seen.targets
            if not rows.equals(self.rows) or not np.array_equal(seen.targets, self.targets):
                raise UserError(
                    f"{folder} was tested on other images or labels than the other runs; train those of one list only"
                )
            if calibrator:
                fitted = FITS[calibrator](calibrate_fold(folder, self.checkpoint))
                seen = Predictions.of_probs(fitted.apply(seen.scores), seen.targets, str(folder))
            every = sample_values(seen)
            self.cache[name, seed] = {m: every[m] for m in self.metrics}
        return self.cache[name, seed]

    def difference(self, run: str, reference: str, metric: str, level: float) -> dict[str, Any] | None:
        """One row of the table (without its family), or None if the two have no seed in common."""
        seeds = sorted(self.seeds(run) & self.seeds(reference))
        if not seeds:
            return None
        pairs = [(self.values(run, s)[metric], self.values(reference, s)[metric]) for s in seeds]
        deltas = np.stack([a - b for a, b in pairs])
        found = asdict(paired_difference(deltas, self.codes, level))
        return {"run": run, "reference": reference, "metric": metric, **found}

    def mean(self, run: str, metric: str) -> float:
        """Mean of a measure over seeds and images."""
        return float(np.mean([self.values(run, s)[metric].mean() for s in sorted(self.seeds(run))]))


def planned(runs: Runs, settings: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """Rows of the contrasts named in the config; one that lacks a run is logged and left out."""
    rows = []
    for run, reference in settings["contrasts"]:
        for metric in settings["metrics"]:
            row = runs.difference(run, reference, metric, settings["level"])
            if row is None:
                log.warning("%s: contrast %s - %s: no seed has both runs; left out", where, run, reference)
                break
            rows.append({"family": "planned", **row})
    return rows


def against_best(runs: Runs, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of every run against the one with the best mean: what may be printed bold in a table."""
    names = sorted({run for run, _ in runs.folders})
    rows = []
    for metric in settings["metrics"]:
        if metric in ("gap", "avg_confidence"):  # neither has a best end
            continue
        best = min(names, key=lambda name: runs.mean(name, metric))
        for name in names:
            row = runs.difference(name, best, metric, settings["level"]) if name != best else None
            if row is not None:
                rows.append({"family": "best", **row})
    return rows


def verdict(row: pd.Series, level: float) -> str:
    """What may be concluded: ``lower``, ``higher``, ``not told apart``, or ``one seed`` (no test is
    possible).
    """
    if row["seeds"] < 2:
        return "one seed"
    if np.isnan(row["p_holm"]):
        return "no test"
    if row["p_holm"] > 1 - level + 1e-12:
        return "not told apart"
    return "lower" if row["difference"] < 0 else "higher"


def compare(run_dirs: Sequence[Path], checkpoint: str, settings: dict[str, Any]) -> pd.DataFrame:
    """The table of all data sets and backbones, columns :data:`COLUMNS`.

    Holm adjusts over all planned contrasts, data sets and backbones of a measure; for the family `best`
    within the data set and backbone.
    """
    places: dict[tuple[str, str], dict[tuple[str, int], Path]] = {}
    for path in run_dirs:
        entry = read_run(path)
        place = places.setdefault((entry["dataset"], entry["backbone"]), {})
        if place.setdefault((entry["regime"] + entry["variant"], entry["seed"]), path) != path:
            raise UserError(f"{path} is the same run as another given folder")
    rows = []
    for (dataset, backbone), folders in places.items():
        runs = Runs(folders, checkpoint, settings["metrics"])
        found = planned(runs, settings, f"{dataset}, {backbone}") + against_best(runs, settings)
        rows += [{"dataset": dataset, "backbone": backbone, **row} for row in found]
    table = pd.DataFrame(rows, columns=COLUMNS)
    local = table["family"] == "best"
    families = [
        table["family"],
        table["metric"],
        table["dataset"].where(local, ""),
        table["backbone"].where(local, ""),
    ]
    for _, part in table.groupby(families):
        table.loc[part.index, "p_holm"] = holm(part["p"].to_numpy(float))
    return table.assign(verdict=[verdict(row, settings["level"]) for _, row in table.iterrows()])


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = argparse.ArgumentParser(prog="calibench.contrasts", description=__doc__)
    parser.add_argument("--settings", default="{}", help=f"JSON object, any of {', '.join(DEFAULTS)}")
    parser.add_argument("--checkpoint", default="top1", help="which checkpoint's predictions")
    parser.add_argument("--out", type=Path, required=True, help="contrasts.csv to write")
    parser.add_argument(
        "run_dirs", nargs="+", type=Path, metavar="RUN_DIR", help="all runs of the experiment"
    )
    args = parser.parse_args(argv)
    write_csv(compare(args.run_dirs, args.checkpoint, check_settings(args.settings)), args.out)


if __name__ == "__main__":
    run_stage(main)
