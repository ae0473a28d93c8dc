"""Check every published row and our own rows against what must be true for any table of results.

Bounds (:mod:`calibench.published.bounds`), cells printed twice with two values, baselines equal to those of another
paper, and claims in the texts of the papers. Rows that hold are counted, rows that do not are listed. The published
part never changes, so it is kept as ``audit.csv``; after an edit of the printed numbers or of claims.json run
``python -m tests.published.claims``.
"""

from typing import Any

import pandas as pd

from calibench.published import FOLDER
from calibench.published.bounds import Cells, check
from calibench.published.printed import ROW

COLUMNS = ["paper", "table", "dataset", "backbone", "regime", "rule", "holds", "statement"]
KEPT = FOLDER / "audit.csv"
CLAIM = ("text: ", "expected: ")  # start of a rule that is a claim of a paper, or that a reader may expect


def our_rows(metrics: pd.DataFrame) -> pd.DataFrame:
    """Our long table in the same form, with a row for each split and checkpoint."""
    seeds = metrics["seed"].astype(str)
    place = metrics["split"] + ", checkpoint " + metrics["checkpoint"] + ", seed " + seeds
    ours = metrics.assign(paper="this experiment", table=place, number=metrics["value"], slack=1e-9, note="")
    ours["regime"] += ours["variant"]
    return ours[[*ROW, "metric", "number", "slack", "note"]]


def _rows_of(frame: pd.DataFrame) -> list[tuple[dict[str, str], pd.DataFrame]]:
    """(place, cells) of each row: the tables of a paper are joined, except where they print two values."""
    own = frame[~frame["note"].str.contains("copied|ensemble")].dropna(subset=["number"])
    found = []
    for _, part in own.groupby([name for name in ROW if name != "table"], sort=False):
        clash = part.groupby("metric")["number"].nunique().max() > 1
        several = [p for _, p in part.groupby("table", sort=False)] if clash else [part]
        for cells in several:
            place = {name: cells[name].iloc[0] for name in ROW}
            place["table"] = ", ".join(dict.fromkeys(cells["table"]))
            found.append((place, cells.drop_duplicates("metric")))
    return found


def bounds(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per broken bound, and one per paper and rule with the number of rows that hold."""
    rows, tally = [], {}
    for place, values in _rows_of(frame):
        cells: Cells = {r.metric: (r.number, r.slack) for r in values.itertuples()}
        for finding in check(cells):
            count = tally.setdefault((place["paper"], finding.rule), [0, 0])
            count[0] += 1
            if not finding.holds:
                count[1] += 1
                rows.append({**place, "rule": finding.rule, "holds": "no", "statement": finding.statement})
    for (paper, rule), (checked, broken) in tally.items():
        holds = "yes" if not broken else "in part" if broken < checked else "no"
        said = f"{checked - broken} of {checked} rows hold"
        rows.append({"paper": paper, "rule": rule, "holds": holds, "statement": said})
    return rows


def kept_audit() -> pd.DataFrame:
    """The audit of the published numbers, columns :data:`COLUMNS`."""
    return pd.read_csv(KEPT, dtype=str, keep_default_na=False)


def audit(metrics: pd.DataFrame) -> pd.DataFrame:
    """The kept audit of the published numbers, and the same bounds for our rows, the long table of an experiment."""
    ours = pd.DataFrame(bounds(our_rows(metrics)), columns=COLUMNS).fillna("")
    return pd.concat([kept_audit(), ours], ignore_index=True)
