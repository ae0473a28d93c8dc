"""contrasts.csv: the comparisons named in the config, every run against hard labels, and against the best.

A contrast is a pair of runs, as ["ols", "hard"]; `hard@temperature` is the run `hard` after temperature
scaling fitted on part `calibrate`. One family of rows answers one question:

- ``primary``: a planned contrast, pooled over data sets and backbones (both columns are empty). Holm adjusts over the
  planned contrasts of a measure.
- ``secondary``: the same contrast on one data set and backbone. Holm adjusts over all of these of a measure.
- ``hard``: every run minus ``hard``, tempered minus tempered, pooled and on each: intervals, no tests, no verdicts.
- ``best``: every run minus the best of the others, pooled and on each (:mod:`calibench.statistics.best`).

Every evaluation set has families of its own: one more set changes no result on test. A seed ensemble
(``ols@ensemble``) is compared with that of hard labels, and where a contrast names it; it is one network, so there is no
test, and it is no candidate of ``best``.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench.statistics.best import from_best
from calibench.statistics.compared import ENSEMBLE, RANKS, Runs, by_dataset
from calibench.statistics.paired import Difference, holm
from calibench.statistics.verdicts import non_inferior, seeds_needed, verdict

log = logging.getLogger(__name__)
NUMBERS = ["difference", "low", "high", "p", "p_holm", "low_holm", "high_holm"]
SIZES = ["seeds", "blocks", "groups", "se_seeds", "se_images"]
COLUMNS = ["family", "dataset", "backbone", "split", "metric", "run", "reference", *NUMBERS, *SIZES]
COLUMNS += ["relevant", "seeds_needed", "non_inferior", "verdict"]
FAMILIES = ("primary", "secondary", "hard", "best")
NO_BEST = {"gap", "avg_confidence"}  # neither has a best end
TEMPERED = "@temperature"
Pair = tuple[str, str]
Place = tuple[str, str]  # data set, backbone; two empty texts: all of them
Row = tuple[dict[str, Any], Difference]  # where and what; how large


class Study:
    """All finished runs of an experiment and the settings of the comparison.

    Args:
        runs: the runs of each data set.
        settings: ``statistics`` of a configuration.
    """

    def __init__(self, runs: dict[str, Runs], settings: dict[str, Any]) -> None:
        self.runs, self.settings = runs, settings
        self.alpha = 1 - settings["level"]
        self.asked: list[Pair] = [tuple(pair) for pair in settings["contrasts"]]
        self.tempered = settings["tempered"] and any(each.calibrated for each in runs.values())
        self.places: list[Place] = [("", "")]
        self.places += [(dataset, b) for dataset, each in runs.items() for b in each.backbones]
        self.names = sorted({name for each in runs.values() for name in each.names})

    def compare(self, place: Place, run: str, reference: str, metric: str) -> Difference | None:
        """The difference of two runs at a place; None where no seed has both.

        A comparison after temperature scaling that the user did not name leaves out data sets without a calibrate part.
        """
        dataset, backbone = place
        added = TEMPERED in run + reference and (run, reference) not in self.asked  # not by the user
        parts = []
        for name, runs in self.runs.items():
            if dataset in ("", name) and (runs.calibrated or not added):
                parts.append(runs.blocks(run, reference, metric, [backbone] if backbone else runs.backbones))
        parts = [part for part in parts if part is not None]
        return Difference(parts) if parts else None

    def planned(self) -> list[Pair]:
        """The contrasts of the config, and each once more tempered against tempered."""
        named = list(self.asked)
        if self.tempered:
            more = [(a + TEMPERED, b + TEMPERED) for a, b in named if "@" not in a + b]
            named += [pair for pair in more if pair not in named]
        places = [(runs, backbone) for runs in self.runs.values() for backbone in runs.backbones]
        known = [pair for pair in named if any(runs.pairs(b, *pair) for runs, b in places)]
        for run, reference in (pair for pair in named if pair not in known):
            log.warning("contrast %s - %s: no seed has both runs; left out", run, reference)
        return known

    def against_hard(self) -> list[Pair]:
        """Every run beside hard labels, raw and tempered."""
        others = [name for name in self.names if name != "hard" and ENSEMBLE not in name]
        pairs = [(name, "hard") for name in others]
        if self.tempered:
            pairs += [("hard" + TEMPERED, "hard")]
            pairs += [(name + TEMPERED, "hard" + TEMPERED) for name in others]
        for name in (name for name in self.names if ENSEMBLE in name):
            reference = "@".join(["hard", *name.split("@")[1:]])
            pairs += [(name, reference)] if reference in self.names and reference != name else []
        return pairs if "hard" in self.names else []

    def differences(self, pairs: list[Pair], metric: str, places: list[Place]) -> Iterator[Row]:
        """Pairs at the places that have them. A temperature moves no error, so tempered pairs do not repeat those rows."""
        for run, reference in pairs:
            if metric in RANKS and run.endswith(TEMPERED) and (run, reference) not in self.asked:
                continue
            for place in places:
                found = self.compare(place, run, reference, metric)
                if found is not None:
                    yield {"run": run, "reference": reference, **_at(place, metric)}, found


def _at(place: Place, metric: str) -> dict[str, str]:
    return {"dataset": place[0], "backbone": place[1], "metric": metric}


def _numbers(found: Difference, level: float) -> dict[str, float]:
    low, high = found.interval(level)
    sizes = {"seeds": found.seeds, "blocks": found.blocks, "groups": found.groups}
    errors = {"se_seeds": float(np.sqrt(found.seed)), "se_images": float(np.sqrt(found.image))}
    return {"difference": float(found.mean), "low": low, "high": high, **sizes, **errors}


def _tested(rows: list[Row], family: str, study: Study) -> Iterator[dict[str, Any]]:
    """One family of tests of one measure: Holm over all of its rows.

    ``low_holm`` and ``high_holm``: the interval at the level at which Holm's method judged the row (Serlin 1993). It
    leaves out 0 exactly where the adjusted p is at most 1 - level, and is never narrower than the plain interval.
    """
    p = np.array([found.p() for _, found in rows])
    for (head, found), raw, adjusted in zip(rows, p, holm(p), strict=True):
        level = 1 - study.alpha * (raw / adjusted if adjusted > 0 else 1)
        interval = found.interval(level if found.testable else 1 - study.alpha)
        relevant = study.settings["relevant"].get(head["metric"])
        tests = max(1, int((~np.isnan(p)).sum()))
        yield {
            "family": family,
            **head,
            **_numbers(found, 1 - study.alpha),
            **{"p": raw, "p_holm": adjusted, "low_holm": interval[0], "high_holm": interval[1]},
            "relevant": nan if relevant is None else relevant,
            "seeds_needed": seeds_needed(found, relevant, study.alpha / tests),
            "non_inferior": non_inferior(found, interval, relevant),
            "verdict": verdict(found, adjusted, interval, study.alpha, relevant),
        }


def _best(study: Study, metric: str) -> Iterator[dict[str, Any]]:
    """At every place, every run (tempered ones too, where a temperature changes the measure) against the best."""
    if metric in NO_BEST:
        return
    raw = [name for name in study.names if ENSEMBLE not in name]
    for place in study.places:
        calibrated = all(runs.calibrated for name, runs in study.runs.items() if place[0] in ("", name))
        both = study.tempered and metric not in RANKS and calibrated
        names = raw + [name + TEMPERED for name in raw] if both else raw

        def compare(run: str, reference: str, place: Place = place) -> Difference | None:
            return study.compare(place, run, reference, metric)

        for row in from_best(names, compare, 1 - study.alpha):
            yield {"family": "best", **_at(place, metric), **asdict(row)}


def _on_one_set(study: Study) -> Iterator[dict[str, Any]]:
    planned, beside = study.planned(), study.against_hard()
    pooled, each = study.places[:1], study.places[1:]
    for metric in study.settings["metrics"]:
        yield from _tested(list(study.differences(planned, metric, pooled)), "primary", study)
        yield from _tested(list(study.differences(planned, metric, each)), "secondary", study)
        # intervals only: whether a run differs from hard labels is the question of the planned rows
        for head, found in study.differences(beside, metric, study.places):
            yield {"family": "hard", **head, **_numbers(found, 1 - study.alpha), "verdict": found.untested}
        yield from _best(study, metric)


def compare(
    run_dirs: Sequence[Path], checkpoint: str, settings: dict[str, Any], sets: Sequence[str] = ()
) -> pd.DataFrame:
    """The table of all data sets and backbones on test and on ``sets``, columns :data:`COLUMNS`.

    Args:
        run_dirs: folders of finished runs.
        checkpoint: which predictions.
        settings: ``statistics`` of a configuration, completed.
        sets: evaluation sets besides test.
    """
    folders, fits, found = by_dataset(run_dirs), {}, []
    for split in ("test", *sets):
        runs = {
            dataset: Runs(of, checkpoint, settings["metrics"], split, fits) for dataset, of in folders.items()
        }
        rows = sorted(_on_one_set(Study(runs, settings)), key=lambda row: FAMILIES.index(row["family"]))
        found += [{"split": split, **row} for row in rows]
    return pd.DataFrame(found, columns=COLUMNS)
