"""The best value of a swept setting for each regime, by validation, with a row for every value that was trained.

The test numbers are shown but not used.
"""

import json
from typing import Any

import numpy as np
import pandas as pd

KEYS = ["dataset", "backbone", "base", "setting"]
BY = {"val_nll": "nll", "val_top1": "top1_error"}  # measure on part select, lower is better
TEST = ["top1_error", "nll", "ece", "brier"]


def tried(settings: dict[str, Any]) -> pd.DataFrame:
    """``tries`` of :func:`choose` as a frame, with the value as text and ``order``, the place in the table."""
    rows = [
        [*row[:3], row[3] if isinstance(row[3], str) else json.dumps(row[3])] for row in settings["tries"]
    ]
    frame = pd.DataFrame(rows, columns=["run", "base", "setting", "value"])
    bases = {base: i for i, base in enumerate(dict.fromkeys(frame["base"]))}
    number = pd.to_numeric(frame["value"], errors="coerce")
    order = sorted(
        range(len(frame)), key=lambda i: (bases[frame["base"][i]], np.nan_to_num(number[i], nan=np.inf), i)
    )
    frame["order"] = np.argsort(order)
    return frame


def choose(metrics: pd.DataFrame, settings: dict[str, Any]) -> pd.DataFrame:
    """A row per data set, backbone, run, setting and value, and whether validation chose it.

    Args:
        metrics: the long table of the experiment.
        settings: ``tries`` [[run, run without the sweep, setting, value], …], also with each run without the sweep and
            its own value; ``by`` val_nll | val_top1; ``checkpoint``.

    Returns:
        Columns dataset, backbone, regime, variant (without the sweep), setting, value, seeds, tries (number of runs of
        the regime over all settings: more tries are more chances), the measure of the choice (``val_nll`` or
        ``val_top1_error``), chosen (yes | no), at_edge (yes: the best value is the smallest or largest number, so a
        better one may be outside) and the test measures, means over seeds. Of equal values the first is chosen,
        numbers ascending. Only seeds with all values of a run are used.
    """
    measure, tries = BY[settings["by"]], tried(settings)
    rows = metrics[metrics["checkpoint"] == settings["checkpoint"]].copy()
    rows["run"] = rows["regime"] + rows["variant"]
    rows = rows.merge(tries, on="run", suffixes=("", "_tried"))
    value = [*KEYS, "value_tried", "order"]
    select = rows[(rows["split"] == "select") & (rows["metric"] == measure)]
    values, of_seed = (select.groupby(keys)["order"].transform("nunique") for keys in (KEYS, [*KEYS, "seed"]))
    select = select[of_seed == values].fillna({"value": np.inf})  # a run that diverged is the worst
    test = rows[(rows["split"] == "test") & rows["metric"].isin(TEST)]
    test = test.merge(select[[*value, "seed"]], on=[*value, "seed"])
    found = select.groupby(value)["value"].agg(["mean", "count"]).reset_index()
    scores = test.pivot_table(index=value, columns="metric", values="value").add_prefix("test_")
    out = found.merge(scores.reset_index(), on=value, how="left")
    settings_order = {name: i for i, name in enumerate(dict.fromkeys(tries["setting"]))}
    bases = {name: i for i, name in enumerate(dict.fromkeys(tries["base"]))}
    ranked = out.assign(b=out["base"].map(bases), s=out["setting"].map(settings_order))
    out = out.loc[ranked.sort_values(["dataset", "backbone", "b", "s", "order"]).index].reset_index(drop=True)
    best = out.groupby(KEYS)["mean"].transform("idxmin")
    out["chosen"] = np.where(out.index == best, "yes", "no")
    number = pd.to_numeric(out["value_tried"], errors="coerce")
    ends = (number.groupby([out[key] for key in KEYS]).transform(end) for end in ("min", "max"))
    edge = np.logical_or.reduce([number == end for end in ends])
    out["at_edge"] = np.where((out.index == best) & edge, "yes", "no")
    runs = tries.groupby("base")["run"].nunique()
    return _named(
        out.assign(tries=out["base"].map(runs)), "val_nll" if measure == "nll" else "val_top1_error"
    )


def _named(out: pd.DataFrame, measure: str) -> pd.DataFrame:
    parts = out["base"].str.partition("+")
    out = out.assign(regime=parts[0], variant=parts[1] + parts[2]).rename(
        columns={"mean": measure, "count": "seeds", "value_tried": "value"}
    )
    tested = [f"test_{m}" for m in TEST if f"test_{m}" in out]
    first = ["dataset", "backbone", "regime", "variant", "setting", "value", "seeds", "tries", measure]
    return out[[*first, "chosen", "at_edge", *tested]].reset_index(drop=True)
