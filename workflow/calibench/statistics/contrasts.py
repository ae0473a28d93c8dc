"""The comparisons named in the config beforehand, and every run against the best of its column.

A contrast is a pair of runs, as ["ols", "hard"]; `hard@temperature` is the run `hard` after temperature
scaling fitted on part `calibrate`. Runs are paired by seed and image.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench.calibrators import FITS, CalibrateFold
from calibench.errors import UserError
from calibench.finished.read import read_keys, read_part
from calibench.metrics import Predictions
from calibench.statistics.paired import holm, paired_difference
from calibench.statistics.resampling import sample_values
from calibench.statistics.tested import read_tested

log = logging.getLogger(__name__)
ENSEMBLE = "@ensemble"  # what the name of a seed ensemble ends with
COLUMNS = [
    "family",
    "dataset",
    "backbone",
    "split",
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


class Runs:
    """Per-image values of the runs of one dataset and backbone, read when first asked for.

    Args:
        folders: {(run name, seed): folder}.
        checkpoint: which predictions.
        metrics: which per-image values to keep.
        split: the evaluation set.
    """

    def __init__(
        self,
        folders: dict[tuple[str, int], Path],
        checkpoint: str,
        metrics: list[str],
        split: str = "test",
    ) -> None:
        self.folders, self.checkpoint, self.metrics, self.split = folders, checkpoint, metrics, split
        self.codes: np.ndarray | None = None
        self.rows: pd.Series | None = None
        self.targets: np.ndarray | None = None
        self.cache: dict[tuple[str, int], dict[str, np.ndarray]] = {}

    def seeds(self, name: str) -> set[int]:
        """Seeds of a run name (``hard@temperature`` has those of ``hard``)."""
        return {seed for run, seed in self.folders if run == self._parts(name)[0]}

    def _parts(self, name: str) -> tuple[str, str]:
        """The run and the calibrator behind it, if any; a seed ensemble (``ols@ensemble``) is a run."""
        if any(run == name for run, _ in self.folders):
            return name, ""
        run, _, calibrator = name.rpartition("@") if "@" in name else (name, "", "")
        return run, calibrator

    def values(self, name: str, seed: int) -> dict[str, np.ndarray]:
        """{metric: (N,) per-image values}, in float32: differences, not sums, are taken of them."""
        if (name, seed) not in self.cache:
            run, calibrator = self._parts(name)
            folder = self.folders[run, seed]
            tested = read_tested(folder, self.checkpoint, self.split)
            seen = tested.seen
            if self.rows is None:
                self.rows, self.codes, self.targets = tested.rows, tested.codes, seen.targets
            if not tested.rows.equals(self.rows) or not np.array_equal(seen.targets, self.targets):
                raise UserError(
                    f"{folder} was tested on other images or labels than the other runs; train those of one list only"
                )
            if calibrator:
                fitted = FITS[calibrator](self._fold(folder))
                seen = Predictions.of_probs(fitted.apply(seen.scores), seen.targets, str(folder))
            every = sample_values(seen)
            self.cache[name, seed] = {m: every[m] for m in self.metrics}
        return self.cache[name, seed]

    def _fold(self, folder: Path) -> CalibrateFold:
        logits, index = read_part(folder, self.checkpoint, "calibrate")
        if index.empty:
            raise UserError(
                f"{folder}: no validation images of part calibrate; set the data set's `calibrate` above 0"
            )
        return CalibrateFold(logits, index["target"].to_numpy(), index["part"], f"{folder} (calibrate)")

    def difference(self, run: str, reference: str, metric: str, level: float) -> dict[str, Any] | None:
        """One row of the table (without its family), or None if the two have no seed in common.

        An ensemble has no seeds to be paired by: it is compared with the mean over the other's seeds, as one seed.
        """
        seeds = sorted(self.seeds(run) & self.seeds(reference))
        if ENSEMBLE in run + reference and self.seeds(run) and self.seeds(reference):
            means = [
                np.mean([self.values(name, s)[metric] for s in sorted(self.seeds(name))], axis=0)
                for name in (run, reference)
            ]
            deltas = (means[0] - means[1])[None]
        elif not seeds:
            return None
        else:
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
    names = sorted({run for run, _ in runs.folders if ENSEMBLE not in run})
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


def compare(
    run_dirs: Sequence[Path], checkpoint: str, settings: dict[str, Any], sets: Sequence[str] = ()
) -> pd.DataFrame:
    """The table of all data sets and backbones on test and on ``sets``, columns :data:`COLUMNS`.

    Holm adjusts over all planned contrasts, data sets and backbones of a measure; for the family `best`
    within the data set and backbone. Each evaluation set is a family of its own: asking about one more changes
    nothing that was said of test.
    """
    places: dict[tuple[str, str], dict[tuple[str, int], Path]] = {}
    for path in run_dirs:
        entry = read_keys(path)
        place = places.setdefault((entry["dataset"], entry["backbone"]), {})
        if place.setdefault((entry["regime"] + entry["variant"], entry["seed"]), path) != path:
            raise UserError(f"{path} is the same run as another given folder")
    rows = []
    for ((dataset, backbone), folders), split in product(places.items(), ("test", *sets)):
        runs = Runs(folders, checkpoint, settings["metrics"], split)
        found = planned(runs, settings, f"{dataset}, {backbone}, {split}") + against_best(runs, settings)
        rows += [{"dataset": dataset, "backbone": backbone, "split": split, **row} for row in found]
    table = pd.DataFrame(rows, columns=COLUMNS)
    local = table["family"] == "best"
    families = [
        table["family"],
        table["split"],
        table["metric"],
        table["dataset"].where(local, ""),
        table["backbone"].where(local, ""),
    ]
    for _, part in table.groupby(families):
        table.loc[part.index, "p_holm"] = holm(part["p"].to_numpy(float))
    return table.assign(verdict=[verdict(row, settings["level"]) for _, row in table.iterrows()])
