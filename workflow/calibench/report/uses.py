"""What the confidences may be used for: sets of classes with a promise, treatment at a threshold, a choice of regime."""

from typing import Any

import pandas as pd

from calibench.figures import ENOUGH
from calibench.regimes.catalog import label
from calibench.report import words
from calibench.report.experiment import Experiment

AT = [0.05, 0.1, 0.2, 0.5]  # thresholds of net benefit that are printed; decision.csv has all
RANKED = ["top1_error", "nll", "ece"]


def conformal(x: Experiment) -> list[list[str]]:
    """Place, run, score, coverage, mean size, empty sets, lowest coverage of a class (which one) and of a stratum; means."""
    rows = []
    for head, part, n in x.parts("conformal.csv", "score"):
        part = part[part["split"] == "test"]
        over = part[part["of"] == "all"].groupby("metric")["value"].mean()
        covered = part[part["metric"] == "coverage"]
        lowest = [_lowest(x, covered[covered["of"] == of], n) for of in ("class", "stratum")]
        share = [words.measured("top1_error", over.get(m), n) for m in ("coverage", "empty")]
        rows.append([*head, share[0], words.fixed(over.get("size"), 2), share[1], *lowest])
    return rows


def _lowest(x: Experiment, part: pd.DataFrame, n: int | None) -> str:
    means = part.groupby("which")["value"].mean()
    if means.empty:
        return words.EMPTY
    classes = x.classes(part["dataset"].iloc[0]) if part["of"].iloc[0] == "class" else None
    name = means.idxmin() if classes is None else classes["label"][int(means.idxmin())]
    return f"{words.measured('top1_error', means.min(), n)} ({name})"


def benefit(x: Experiment) -> list[list[str]]:
    """Place, run, net benefit at the thresholds :data:`AT`; treating everybody stands first; means over seeds."""
    rows: list[list[str]] = []
    for head, part, n in x.parts("decision.csv"):
        part = part[(part["split"] == "test") & (part["kind"] == "threshold")]
        means = part.groupby([part["at"].round(4), "metric"])["value"].mean()
        named = {label(part["name"].iloc[0]): "net_benefit"} if len(part) else {}
        if named and (not rows or rows[-1][0] != head[0]):
            named = {"everybody is treated": "treat_all"} | named
        for name, m in named.items():
            rows.append([head[0], name, *(words.measured("ece", means.get((at, m)), n) for at in AT)])
    return rows


def ranks(x: Experiment) -> dict[str, list[Any]]:
    """{measure: its rows of ranks.csv on test, best mean first}; empty below :data:`ENOUGH` places."""
    path = x.folder / "ranks.csv"
    if not path.is_file():
        return {}
    frame = pd.read_csv(path).sort_values("mean_rank", kind="stable")
    frame = frame[(frame["split"] == "test") & (frame["places"] >= ENOUGH)]
    found = {metric: list(frame[frame["metric"] == metric].itertuples()) for metric in RANKED}
    return {metric: rows for metric, rows in found.items() if rows}
