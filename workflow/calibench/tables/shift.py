"""How each measure changes from the test images to other evaluation sets: another site, corruptions, attacks."""

from pathlib import Path
from typing import Any

import pandas as pd

from calibench.finished.names import KEYS

WHAT = ["kind", "family", "level"]
COLUMNS = [*KEYS, "split", *WHAT, "checkpoint", "calibrator", "metric", "value", "test", "difference", "n"]


def read_shift(path: Path) -> pd.DataFrame:
    """Read shift.csv; an empty variant is '', an empty level NaN."""
    numbers = {"value": ["", "nan"], "test": ["", "nan"], "difference": ["", "nan"], "level": [""]}
    return pd.read_csv(path, dtype=dict.fromkeys(KEYS[:4], str), keep_default_na=False, na_values=numbers)


def shifted(
    metrics: pd.DataFrame, posthoc: pd.DataFrame, sets: dict[str, dict[str, Any]], checkpoint: str
) -> pd.DataFrame:
    """A row for each run, evaluation set besides test, calibrator and measure; columns :data:`COLUMNS`.

    ``difference`` is ``value`` minus ``test``, the same measure of the same run and calibrator on its test images. For
    all sets, the calibrator was fitted on the part `calibrate` of the training data set. ``level`` is the severity of
    a corruption, the bound of an attack in grey levels, and empty for a site.

    Args:
        metrics: the long table of all runs (calibrator ``none``).
        posthoc: the long table after calibration.
        sets: see :func:`calibench.finished.sets.evaluation_sets`.
        checkpoint: whose rows of ``metrics``.
    """
    plain = metrics[metrics["checkpoint"] == checkpoint].assign(calibrator="none")
    fitted = posthoc[(posthoc["calibrator"] != "none") & (posthoc["checkpoint"] == checkpoint)]
    rows = pd.concat([plain, fitted], ignore_index=True)
    by = [*KEYS, "checkpoint", "calibrator", "metric"]
    test = rows.loc[rows["split"] == "test", [*by, "value"]].rename(columns={"value": "test"})
    found = rows[rows["split"].isin(list(sets))].merge(test, on=by, how="left", validate="many_to_one")
    found["difference"] = found["value"] - found["test"]
    for column in WHAT:
        found[column] = found["split"].map({name: what[column] for name, what in sets.items()})
    order = {name: i for i, name in enumerate(sets)}
    runs = found.groupby(KEYS, sort=False).ngroup()
    found = found.assign(run=runs, place=found["split"].map(order))
    return found.sort_values(["run", "place"], kind="stable")[COLUMNS].reset_index(drop=True)
