"""Which learning rate of a sweep each regime is best at, by validation; test numbers stand beside it, unused.

Nothing is left out: every factor that was trained has its row.
"""

from typing import Any

import numpy as np
import pandas as pd

KEYS = ["dataset", "backbone", "base"]
BY = {"val_nll": "nll", "val_top1": "top1_error"}  # measure on part select, lower is better
TEST = ["top1_error", "nll", "ece", "brier"]


def choose(metrics: pd.DataFrame, settings: dict[str, Any]) -> pd.DataFrame:
    """A row per data set, backbone, run and factor, and whether validation chose it.

    Args:
        metrics: the experiment's long table.
        settings: ``runs`` {run: [the run it varies, factor]}, ``by`` val_nll | val_top1, ``checkpoint``.

    Returns:
        Columns dataset, backbone, regime, variant (of the run at factor 1), factor, seeds, the measure chosen by
        (``val_nll`` or ``val_top1_error``), chosen (yes | no), at_edge (yes: the best factor is the smallest or
        largest tried, so a better one may lie beyond) and the test measures, means over seeds. The smallest of equals
        is chosen. Only seeds that every factor of a run has are counted.
    """
    measure = BY[settings["by"]]
    rows = metrics[metrics["checkpoint"] == settings["checkpoint"]].copy()
    rows["run"] = rows["regime"] + rows["variant"]
    rows = rows[rows["run"].isin(settings["runs"])]
    rows["base"] = [settings["runs"][r][0] for r in rows["run"]]
    rows["factor"] = [float(settings["runs"][r][1]) for r in rows["run"]]
    select = rows[(rows["split"] == "select") & (rows["metric"] == measure)]
    test = rows[(rows["split"] == "test") & rows["metric"].isin(TEST)]
    select = _common_seeds(select.fillna({"value": np.inf}))  # a run that diverged is the worst
    found = select.groupby([*KEYS, "factor"])["value"].agg(["mean", "count"]).reset_index()
    test = test.merge(select[[*KEYS, "factor", "seed"]], on=[*KEYS, "factor", "seed"])
    scores = test.pivot_table(index=[*KEYS, "factor"], columns="metric", values="value").add_prefix("test_")
    order = {base: i for i, (base, _) in enumerate(settings["runs"].values())}
    out = found.merge(scores.reset_index(), on=[*KEYS, "factor"], how="left")
    out = out.sort_values(
        [*KEYS[:2], "base", "factor"], key=lambda c: c.map(order) if c.name == "base" else c
    )
    best = out.groupby(KEYS)["mean"].transform("idxmin")
    out["chosen"] = np.where(out.index == best, "yes", "no")
    ends = out.groupby(KEYS)["factor"].transform("min"), out.groupby(KEYS)["factor"].transform("max")
    out["at_edge"] = np.where((out.index == best) & out["factor"].isin([*ends[0], *ends[1]]), "yes", "no")
    return _named(out, "val_nll" if measure == "nll" else "val_top1_error")


def _common_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    factors = rows.groupby(KEYS)["factor"].transform("nunique")
    return rows[rows.groupby([*KEYS, "seed"])["factor"].transform("nunique") == factors]


def _named(out: pd.DataFrame, measure: str) -> pd.DataFrame:
    parts = out["base"].str.partition("+")
    out = out.assign(regime=parts[0], variant=parts[1] + parts[2]).rename(
        columns={"mean": measure, "count": "seeds"}
    )
    tested = [f"test_{m}" for m in TEST if f"test_{m}" in out]
    first = ["dataset", "backbone", "regime", "variant", "factor", "seeds", measure, "chosen", "at_edge"]
    return out[first + tested].reset_index(drop=True)
