"""Which run is best across data sets and backbones: mean ranks with intervals, Friedman's test, critical difference.

Demšar 2006 (JMLR 7): every place, a data set with a backbone, ranks the runs by a measure; 1 is best, ties share the mean.
Beside the mean stands the worst rank: a method that is best on average may still be the last at one place.
"""

from typing import Any

import numpy as np
import pandas as pd

from calibench.statistics.intervals import tails

COLUMNS = [
    *("split", "metric", "run", "places", "mean_rank", "low", "high"),
    *("best_rank", "worst_rank", "worst_at", "friedman_p", "critical_difference"),
]
HIGH_IS_GOOD = {
    *("balanced_accuracy", "precision", "recall", "f1", "auroc", "auroc_present"),
    *("r_auc", "r_auc_normalised", "coverage_at_5", "confidence_right"),
}
BY_SIZE = {"gap", "squared_error_debiased", "ece_debiased", "nll_calibration"}  # may be negative; 0 is best
NO_ORDER = {"avg_confidence", "absent_classes"}


def critical_difference(runs: int, places: int, level: float) -> float:
    """Nemenyi: mean ranks further apart than this differ, all pairs at once: q·√(k(k + 1)/(6N)), q the quantile of the
    studentised range with infinite degrees of freedom, over √2.
    """
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(level, runs, np.inf)) / np.sqrt(2)
    return quantile * float(np.sqrt(runs * (runs + 1) / (6 * places)))


def _friedman(values: np.ndarray) -> float:
    """p of Friedman's test, ties corrected; values (places, runs). NaN for fewer than 3 runs or 2 places, or all equal."""
    from scipy.stats import friedmanchisquare

    if values.shape[1] < 3 or len(values) < 2 or np.ptp(values, axis=1).max() == 0:
        return float("nan")
    return float(friedmanchisquare(*values.T).pvalue)


def _intervals(ranked: np.ndarray, settings: dict[str, Any]) -> np.ndarray:
    """Expanded percentile interval (2, runs) of the mean ranks over (places, runs); NaN for one place.

    Places are drawn again. Each is drawn with all its seeds: its ranks hold what training again does to them, and to
    draw seeds once more would count that twice.
    """
    places = len(ranked)
    if places < 2:
        return np.full((2, ranked.shape[1]), np.nan)
    drawn = np.random.default_rng(settings["seed"]).integers(places, size=(settings["resamples"], places))
    return np.quantile(ranked[drawn].mean(axis=1), tails(settings["level"], places), axis=0)


def ranks(metrics: pd.DataFrame, checkpoint: str, settings: dict[str, Any]) -> pd.DataFrame:
    """Ranks of the runs per evaluation set and measure, columns :data:`COLUMNS`.

    Seeds are averaged first. Only runs that are at every place take part, and places where every one of them has the
    measure. The test and the critical difference rest on places that are independent; backbones on one data set share
    its images, so with few data sets read them as descriptive.

    Args:
        metrics: the long table of an experiment.
        checkpoint: whose predictions.
        settings: ``level`` (of the intervals; 1 - that of the tests), ``resamples``, ``seed``.
    """
    rows = metrics[metrics["checkpoint"] == checkpoint]
    rows = rows[~rows["split"].isin(["select", "calibrate"]) & ~rows["metric"].isin(NO_ORDER)]
    rows = rows.assign(run=rows["regime"] + rows["variant"], place=rows["dataset"] + ", " + rows["backbone"])
    found = []
    for (split, metric), part in rows.groupby(["split", "metric"], sort=False):
        table = part.pivot_table(index="place", columns="run", values="value", aggfunc="mean", sort=False)
        table = table.dropna(axis=1, thresh=len(table)).dropna()
        if table.shape[1] < 2 or table.empty:
            continue
        values = table.abs() if metric in BY_SIZE else -table if metric in HIGH_IS_GOOD else table
        ranked = values.rank(axis=1)
        tests = {"friedman_p": _friedman(values.to_numpy()), "critical_difference": np.nan}
        if len(table) > 1:
            tests["critical_difference"] = critical_difference(*table.shape[::-1], settings["level"])
        ends = _intervals(ranked.to_numpy(), settings)
        for run, (low, high) in zip(table.columns, ends.T, strict=True):
            own = ranked[run]
            found.append(
                {
                    **{"split": split, "metric": metric, "run": run, "places": len(table)},
                    **{"mean_rank": own.mean(), "low": low, "high": high, "best_rank": own.min()},
                    **{"worst_rank": own.max(), "worst_at": own.idxmax(), **tests},
                }
            )
    return pd.DataFrame(found, columns=COLUMNS)
