"""warnings.csv: what a reader must know about the numbers of a run, each as a number beside the usual one.

``warn`` is 1 where the report must show it. Four facts: ``never_predicted``, ``fallback_rows``, ``best_is_last`` and
``confidently_wrong``.
"""

from collections.abc import Iterator
from math import ceil
from typing import Any

import numpy as np
import pandas as pd

from calibench.metrics import Predictions

COLUMNS = ["fact", "value", "of", "expected", "high", "detail", "warn"]
SHARE = 0.01


def never_predicted(seen: Predictions) -> dict[str, Any]:
    """How many of the classes that occur are never predicted; ``detail`` holds their targets, ``0 4 7``."""
    occur = np.unique(seen.targets)
    lost = np.setdiff1d(occur, seen.predicted)
    return {
        "fact": "never_predicted",
        "value": len(lost),
        "of": len(occur),
        "expected": 0,
        "detail": " ".join(map(str, lost)),
        "warn": int(len(lost) > 0),
    }


def confidently_wrong(seen: Predictions, share: float = SHARE) -> dict[str, Any]:
    """Wrong predictions among the most confident 1 % (rounded up), and how many a calibrated network has there.

    ``expected`` is Σ (1 - confidence) over these images, ``high`` the most that a calibrated network has in 97.5 % of
    draws: the quantile of a Poisson distribution, which spreads more than the sum of independent draws. Of equal
    confidences at the border the wrong ones count as a share.
    """
    from scipy.stats import poisson

    from calibench.metrics.selective import errors_kept

    n = ceil(share * len(seen.targets))
    wrong = float(errors_kept(seen.confidence, seen.correct)[0][n])
    expected = float((1 - np.sort(seen.confidence)[::-1][:n]).sum())
    high = float(poisson.ppf(0.975, expected))
    values = {"value": wrong, "of": n, "expected": expected, "high": high}
    return {"fact": "confidently_wrong", **values, "warn": int(wrong > high)}


def of_training(
    history: pd.DataFrame, epochs: dict[str, int], checkpoint: str, classes: int
) -> Iterator[dict[str, Any]]:
    """``best_is_last``: the chosen epoch is the last one, so more epochs may have been better; ``fallback_rows``:
    rows of the learned soft labels that had no correct prediction to be made from in the last epoch.

    Args:
        history: one row per epoch.
        epochs: {checkpoint: epoch} of the record.
        checkpoint: whose predictions are shown; there is no choice in `last`.
        classes: K.
    """
    if checkpoint in epochs and checkpoint != "last":
        chosen, last = epochs[checkpoint], int(history["epoch"].max())
        yield {"fact": "best_is_last", "value": chosen, "of": last, "warn": int(chosen == last)}
    rows = history["fallback_classes"].iloc[-1] if "fallback_classes" in history else np.nan
    if rows == rows:
        yield {"fact": "fallback_rows", "value": rows, "of": classes, "expected": 0, "warn": int(rows > 0)}


def facts(seen: Predictions, history: pd.DataFrame, epochs: dict[str, int], checkpoint: str) -> pd.DataFrame:
    """All facts of a run, columns :data:`COLUMNS`.

    Args:
        seen: predictions on test.
        history: one row per epoch.
        epochs: {checkpoint: epoch} of the record.
        checkpoint: whose predictions they are.
    """
    found = [never_predicted(seen), confidently_wrong(seen)]
    found += of_training(history, epochs, checkpoint, seen.probs.shape[1])
    return pd.DataFrame(found, columns=COLUMNS).fillna({"detail": ""})
