"""What went wrong or cannot be concluded, as facts: counts and names, without sentences."""

import math
from typing import Any

import pandas as pd

from calibench.backbones.names import backbone_label
from calibench.regimes.catalog import label
from calibench.report.experiment import Experiment


def warned(x: Experiment, fact: str) -> list[dict[str, Any]]:
    """Runs of which warnings.csv says this loudly, the worst first.

    ``networks`` of ``of`` seeds of ``run`` (at ``where``) show it; ``value``, ``expected`` and ``total`` are their means.
    """
    found = []
    for (where, run, kind), part, _ in x.parts("warnings.csv", "fact"):
        loud = part[(part["warn"] == 1) & (kind == fact)]
        if len(loud):
            told = {"run": run, "where": where, "networks": len(loud), "of": len(part)}
            told["total"], told["value"], told["expected"] = loud[["of", "value", "expected"]].mean()
            found.append(told | {"detail": _classes(x, loud) if fact == "never_predicted" else ""})
    return sorted(found, key=lambda one: -one["value"] * one["networks"])


def _classes(x: Experiment, rows: pd.DataFrame) -> str:
    """Names of the classes that any of the networks never predicts; the first ten."""
    targets = sorted({int(target) for text in rows["detail"] for target in text.split()})
    classes = x.classes(rows["dataset"].iloc[0])
    names = [str(t) if classes is None else classes["label"][t] for t in targets]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def lost_images(x: Experiment) -> list[tuple[str, int, int]]:
    """(data set, listed images that could not be read, listed images): the numbers are without them."""
    found = []
    for dataset in x.datasets:
        audit, store = (x.store_json(dataset, f"{stage}.json") for stage in ("audit", "store"))
        lost = len(audit.get("unreadable", [])) + len(store.get("unreadable", []))
        if lost:
            found.append((dataset, lost, audit.get("images") or store.get("n", 0) + lost))
    return found


def _errors(x: Experiment) -> list[tuple[str, pd.DataFrame]]:
    """(data set, its Top-1 errors on test)."""
    if x.shown is None:
        return []
    rows = x.shown[(x.shown["metric"] == "top1_error") & x.shown["dataset"].isin(x.datasets)]
    return list(rows.groupby("dataset"))


def sampling(x: Experiment) -> list[tuple[str, int, float, float]]:
    """(data set, test images, typical error, 95 % half-width of such an error from the draw of images alone)."""
    found = []
    for dataset, group in _errors(x):
        error, n = float(group["value"].median()), int(group["n"].median())
        found.append((dataset, n, error, 1.96 * math.sqrt(error * (1 - error) / n)))
    return found


def not_learned(x: Experiment) -> list[dict[str, Any]]:
    """Runs whose test error cannot be told from that of always naming the most frequent class, per data set."""
    found = []
    for dataset, rows in _errors(x):
        counts = x.store_json(dataset, "sample.json").get("priors", {}).get("after", {}).get("test")
        if not counts:
            continue
        chance, n = 1 - max(counts) / sum(counts), sum(counts)
        # one-sided 95 %: on a small test set an error somewhat below that of the constant answer is still luck
        lucky = chance - 1.645 * math.sqrt(chance * (1 - chance) / n)
        failed = rows[rows["value"] >= lucky - 1e-9].groupby(["regime", "variant", "backbone"], sort=False)
        runs = [
            f"{label(regime + variant)} with {backbone_label(backbone)} ({len(part)} of {len(x.config['seeds'])} seeds)"
            for (regime, variant, backbone), part in failed
        ]
        if runs:
            found.append({"dataset": dataset, "runs": runs, "n": n, "chance": chance})
    return found


def visible(x: Experiment) -> float:
    """Half-width of the usual interval of the planned comparisons of Top-1 error; NaN without any."""
    frame = x.frame("contrasts.csv")
    if frame is None:
        return math.nan
    frame = frame[(frame["family"] == "primary") & (frame["metric"] == "top1_error")]
    return float(((frame["high"] - frame["low"]) / 2).median())
