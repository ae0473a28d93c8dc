"""Conformal sets, net benefit and ranks: rows of the tables of their sections."""

from typing import Any

import pandas as pd

from calibench.report import words
from calibench.report.experiment import Experiment

AT = (0.1, 0.2, 0.5)  # thresholds of the table; the figure has all
RANKED = ("top1_error", "nll", "ece", "brier", "aurc")


def conformal(x: Experiment) -> list[list[str]]:
    """Place, run, score, coverage of images and of groups, mean size, lowest coverage of a class; means over seeds."""
    rows = []
    for head, part, _ in x.parts("conformal.csv", "score"):
        all_images = part[part["of"] == "all"].groupby("metric")["value"].mean()
        classes = (
            part[(part["of"] == "class") & (part["metric"] == "coverage")].groupby("which")["value"].mean()
        )
        shares = [all_images["coverage"], all_images["coverage_groups"], classes.min()]
        cells = [words.percent(share, 1) for share in shares]
        rows.append([*head, *cells, words.fixed(all_images["size"], 2)])
    return rows


def benefit(x: Experiment) -> list[list[str]]:
    """Place, run, seed, net benefit at the thresholds :data:`AT` with its interval, and that of treating everybody."""
    rows = []
    for head, part, _ in x.parts("decision.csv", "seed"):
        cells = []
        for at in AT:
            here = part[(part["kind"] == "threshold") & ((part["at"] - at).abs() < 1e-9)].set_index("metric")
            own, everybody = here.loc["net_benefit"], here.loc["treat_all", "value"]
            ends = [words.fixed(own[end], 3) for end in ("low", "high")]
            cells += [f"{words.fixed(own['value'], 3)}\n[{', '.join(ends)}]", words.fixed(everybody, 3)]
        rows.append([*head, *cells])
    return rows


def ranks(x: Experiment) -> dict[str, Any]:
    """Rows (measure, run, mean rank, worst rank, where) of :data:`RANKED` on test, the places, Friedman's p and the
    critical difference of each measure.
    """
    path = x.folder / "ranks.csv"
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""]) if path.is_file() else pd.DataFrame()
    if frame.empty:
        return {"rows": [], "places": 0}
    frame = frame[(frame["split"] == "test") & frame["metric"].isin(RANKED)]
    frame = frame.sort_values(
        ["metric", "mean_rank"], key=lambda c: c.map(RANKED.index) if c.name == "metric" else c
    )
    rows = [
        [
            *(words.head(row.metric), words.run_label(row.run), words.fixed(row.mean_rank, 2)),
            *(words.number(row.worst_rank, 1), row.worst_at, words.number(row.friedman_p, 3)),
            words.fixed(row.critical_difference, 2),
        ]
        for row in frame.itertuples()
    ]
    return {"rows": rows, "places": int(frame["places"].max()) if len(frame) else 0}
