"""Every measure per stratum (modality, anatomy) of one set of predictions, the worst stratum marked."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from calibench.metrics import Predictions, measure_all
from calibench.metrics.debiased import null_band

COLUMNS = ["level", "stratum", "metric", "value", "n", "worst"]
SMALLEST = 50  # fewer images than this cannot be the worst stratum: their ECE is mostly noise
HIGH_IS_BAD = ["top1_error", "top5_error", "ece", "ece_debiased", "smooth_ece"]
HIGH_IS_BAD += ["nll", "brier", "aurc", "augrc"]
LOW_IS_BAD = ["balanced_accuracy", "f1", "auroc_present", "r_auc_normalised", "coverage_at_5"]


def levels(stratum: pd.Series) -> dict[int, pd.Series]:
    """Level 1 = the first component (``CT``), level 2 = the whole (``CT/abd``) where it says more, level 3 = the rest
    whatever the first (``*/abd``) where several first components share one.

    Rows without a stratum are ``unknown``; a level with one stratum only is left out.
    """
    if stratum.nunique() < 2:
        return {}
    known = stratum.where(stratum != "", "unknown")
    first = known.str.split("/").str[0]
    rest = "*/" + known.str.partition("/")[2].where(known.str.contains("/"), "unknown")
    found = {1: first} if (first == known).all() else {1: first, 2: known}
    found |= {3: rest} if rest.nunique() < known.nunique() and len(found) == 2 else {}
    return {level: names for level, names in found.items() if names.nunique() > 1}


def _rows(logits: np.ndarray, targets: np.ndarray, strata: pd.Series, where: str) -> Iterator[dict[str, Any]]:
    for level, names in levels(strata.astype(str)).items():
        for name in sorted(names.unique()):
            mask = (names == name).to_numpy()
            here = f"{where}, stratum {name}"
            seen = Predictions.of(logits[mask], targets[mask], here)
            for metric, value in (measure_all(seen, here) | null_band(seen.confidence)).items():
                yield {
                    "level": level,
                    "stratum": name,
                    "n": int(mask.sum()),
                    "metric": metric,
                    "value": value,
                }


def by_stratum(logits: np.ndarray, targets: np.ndarray, strata: pd.Series, where: str) -> pd.DataFrame:
    """The measures of each stratum, columns :data:`COLUMNS`; empty when there is one stratum only.

    Beside the measures of docs/metrics.md, ``ece_null_low`` and ``ece_null_high``: where the ECE of a calibrated
    network with these confidences lies in 95 % of draws. ``worst`` marks, per level and measure that has a bad side,
    the worst value among strata with at least 50 images (the largest |value| for ``gap``).

    Args:
        logits: (N, K).
        targets: (N,) classes.
        strata: N names, ``''`` = unknown.
        where: what to call the predictions in an error.
    """
    frame = pd.DataFrame(list(_rows(logits, targets, strata, where)), columns=COLUMNS[:-1])
    return frame.assign(worst=_worst(frame))


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
