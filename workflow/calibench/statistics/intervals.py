"""How certain each number is: intervals by resampling groups, and the null band of ECE."""

import logging
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from calibench.metrics import Predictions
from calibench.metrics.debiased import null_distribution
from calibench.statistics.resampling import Sums, bootstrap
from calibench.statistics.squared import squared_error

log = logging.getLogger(__name__)
COLUMNS = ["metric", "kind", "value", "low", "high", "se", "n", "groups"]
NO_INTERVAL = {"ece"}  # a percentile bootstrap of ECE does not cover: resampling adds its bias once more


def intervals(seen: Predictions, codes: np.ndarray, settings: dict[str, Any], where: str) -> pd.DataFrame:
    """The intervals of one set of predictions, columns :data:`COLUMNS`.

    kind ``interval``: expanded percentile interval (:func:`tails`) over resampled groups (empty for ECE, whose row
    gives the spread only; for ``squared_error_debiased`` that of
    :mod:`calibench.statistics.squared`); kind ``null`` / ``null_groups``: mean and band of the ECE of a perfectly calibrated model with
    these confidences, images independent / all images of a group right or wrong together.

    Args:
        seen: predictions of N images.
        codes: (N,) group codes.
        settings: ``resamples``, ``seed``, ``level``.
        where: what to call the predictions in a warning.
    """
    n, groups = len(codes), len(np.unique(codes))
    if groups < 2:
        log.warning("%s: all test images are of one group; its numbers have no intervals", where)
    elif groups < 30:
        log.warning("%s: %d groups only; intervals will be somewhat too narrow", where, groups)
    plain = [(1 - settings["level"]) / 2, (1 + settings["level"]) / 2]
    expanded = tails(settings["level"], groups) if groups > 1 else plain
    head = {"n": n, "groups": groups}
    sums = Sums(seen, codes)
    point = {name: float(value[0]) for name, value in sums.values(np.ones((sums.groups, 1))).items()}
    nothing = {metric: np.full(2, np.nan) for metric in point}
    drawn = bootstrap(sums, settings["resamples"], settings["seed"]) if groups > 1 else nothing
    rows = []
    for metric, values in drawn.items():
        low, high = (np.nan, np.nan) if metric in NO_INTERVAL else np.quantile(values, expanded)
        spread = {"low": low, "high": high, "se": float(values.std(ddof=1))}
        rows.append({**head, "metric": metric, "kind": "interval", "value": point[metric], **spread})
    for kind, codes_used in {"null": None, "null_groups": codes}.items():
        if codes_used is not None and groups == n:
            continue
        null = null_distribution(seen.confidence, settings["resamples"], settings["seed"], codes_used)
        low, high = np.quantile(null, plain)
        spread = {"low": low, "high": high, "se": float(null.std(ddof=1))}
        rows.append({**head, "metric": "ece", "kind": kind, "value": float(null.mean()), **spread})
    squared = squared_error(seen.confidence, seen.correct, codes, settings["level"])
    rows.append({**head, "metric": "squared_error_debiased", "kind": "interval", **asdict(squared)})
    return pd.DataFrame(rows, columns=COLUMNS)


def tails(level: float, groups: int) -> list[float]:
    """The two quantiles of the resamples that bound an interval of ``level``.

    A plain percentile interval is that of a normal distribution with the spread divided by G: too narrow with few
    groups. Expanded (Hesterberg 2015): the tail is Φ(-√(G/(G-1))·t) with t of G - 1 degrees of freedom.
    """
    from scipy.stats import norm, t

    tail = float(norm.sf(np.sqrt(groups / (groups - 1)) * t.isf((1 - level) / 2, groups - 1)))
    return [tail, 1 - tail]
