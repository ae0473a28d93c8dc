"""Net benefit of treating at a threshold, with intervals over groups of images."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from calibench.metrics import Predictions
from calibench.metrics.calibration import reliability
from calibench.metrics.decision import THRESHOLDS, benefit_values, of_positive, treat_all
from calibench.statistics.resampling import clustered_variance

COLUMNS = ["kind", "at", "metric", "value", "low", "high", "n"]


def decisions(seen: Predictions, positive: Sequence[int], codes: np.ndarray, level: float) -> pd.DataFrame:
    """Two curves as rows, columns :data:`COLUMNS`.

    kind ``threshold``, at t: ``net_benefit`` with a t interval over groups, ``treat_all``, and ``avoided``, needless
    treatments avoided per patient against treating all, (net benefit - treat all)·(1 - t)/t. kind ``calibration``, at
    the mean score of a bin: ``frequency`` of the finding, ``n`` images in the bin.

    Args:
        seen: predictions of N images.
        positive: numbers of the positive classes.
        codes: (N,) group codes.
        level: of the interval.
    """
    from scipy.stats import t as student

    score, finding = of_positive(seen, positive)
    codes = np.unique(codes, return_inverse=True)[1]
    sizes = np.bincount(codes)
    quantile = student.isf((1 - level) / 2, len(sizes) - 1) if len(sizes) > 1 else np.nan
    rows = []
    for threshold in THRESHOLDS:
        values, everybody = benefit_values(score, finding, threshold), treat_all(finding, threshold)
        benefit = float(values.mean())
        half = quantile * np.sqrt(clustered_variance(np.bincount(codes, weights=values), sizes))
        rows += [
            ("threshold", threshold, "net_benefit", benefit, benefit - half, benefit + half, len(score)),
            ("threshold", threshold, "treat_all", everybody, np.nan, np.nan, len(score)),
            (
                *("threshold", threshold, "avoided", (benefit - everybody) * (1 - threshold) / threshold),
                *(np.nan, np.nan, len(score)),
            ),
        ]
    bins = reliability(score, finding)
    for count, at, frequency in zip(bins.count, bins.confidence, bins.accuracy, strict=True):
        if count:
            rows.append(("calibration", at, "frequency", frequency, np.nan, np.nan, count))
    return pd.DataFrame(rows, columns=COLUMNS)
