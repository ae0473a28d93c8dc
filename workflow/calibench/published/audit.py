"""What must be true of any table of results, held against every published row and against our own.

Bounds (:mod:`calibench.published.bounds`), cells printed twice with two values, baselines equal to another
paper's, and claims of the papers' texts. What holds is counted, what does not is listed. The published part never
changes, so it is kept as ``audit.csv``; ``calibench published --renew`` computes it anew after an edit.
"""

from typing import Any

import numpy as np
import pandas as pd

from calibench.files import read_json, write_csv
from calibench.published import FOLDER, papers
from calibench.published.bounds import Cells, check
from calibench.published.claims import claims
from calibench.published.printed import ROW, plain, read_printed

COLUMNS = ["paper", "table", "dataset", "backbone", "regime", "rule", "holds", "statement"]
KEPT = FOLDER / "audit.csv"
CLAIMS = FOLDER / "claims.json"


def our_rows(metrics: pd.DataFrame) -> pd.DataFrame:
    """Our long table in the same form, every split and checkpoint a row."""
    place = (
        metrics["split"] + ", checkpoint " + metrics["checkpoint"] + ", seed " + metrics["seed"].astype(str)
    )
    return metrics.assign(
        paper="this experiment",
        table=place,
        regime=metrics["regime"] + metrics["variant"],
        number=metrics["value"],
        slack=1e-9,
        note="",
    )[[*ROW, "metric", "number", "slack", "note"]]


def _rows_of(frame: pd.DataFrame) -> list[tuple[dict[str, str], pd.DataFrame]]:
    """(place, cells) of each row: a paper's tables joined, but kept apart where they print two values."""
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
    """One row per broken bound, and one per paper and rule that counts how many cells hold."""
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


def printed_twice(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Cells that a paper prints in two tables with two values (both may be right: other runs, other
    settings).
    """
    rows = []
    keys = ["paper", "dataset", "backbone", "regime", "metric"]
    own = frame[~frame["note"].str.contains("copied|ensemble")]
    for key, part in own.groupby(keys, sort=False):
        if part["table"].nunique() > 1 and part["printed"].nunique() > 1:
            text = "; ".join(f"Table {t}: {v}" for t, v in zip(part["table"], part["value"], strict=True))
            place = dict(zip(keys, key, strict=True))
            tables = ", ".join(dict.fromkeys(part["table"]))
            said = f"{place.pop('metric')}: {text}"
            rows.append(
                {**place, "table": tables, "rule": "one cell, one value", "holds": "no", "statement": said}
            )
    return rows


def copied(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Cells equal, to the last printed digit, to another paper's: baselines that were taken over, not run
    again.
    """
    accuracy = frame["metric"].isin(["accuracy", "top1_error"]) & (frame["unit"] == "%")
    part = frame[accuracy]
    flipped = np.where(part["metric"] == "accuracy", 100 - part["printed"], part["printed"]).round(4)
    part = part.assign(
        error=flipped, data=part["dataset"].map(plain), mark=part["note"].str.contains("copied")
    )
    rows = []
    for (_, backbone, regime, _), same in part.groupby(["data", "backbone", "regime", "error"], sort=False):
        papers = same.drop_duplicates("paper")
        if len(papers) > 1:
            text = " = ".join(f"{r.value} ({r.paper}, Table {r.table})" for r in papers.itertuples())
            where = {
                "paper": "; ".join(papers["paper"]),
                "dataset": same["dataset"].iloc[0],
                "backbone": backbone,
            }
            said = f"{text}: equal to the last digit as accuracy or 100 − error"
            rows.append(
                {
                    **where,
                    "regime": regime,
                    "rule": "baseline run by the paper itself",
                    "holds": "no",
                    "statement": said,
                }
            )
    for row in part[part["mark"]].itertuples():
        place = {name: getattr(row, name) for name in ROW}
        said = f"{row.value} %: {row.note}"
        rows.append({**place, "rule": "baseline run by the paper itself", "holds": "no", "statement": said})
    return rows


def published_audit() -> pd.DataFrame:
    """All checks of the published numbers, columns :data:`COLUMNS`, papers in the order of their files."""
    printed = read_printed(list(papers().values()))
    rows = bounds(printed) + claims(printed, read_json(CLAIMS)) + printed_twice(printed) + copied(printed)
    table = pd.DataFrame(rows, columns=COLUMNS).fillna("")
    order = {name: i for i, name in enumerate(dict.fromkeys(printed["paper"]))}
    rank = table["paper"].str.partition("; ")[0].map(order)
    return table.iloc[np.argsort(rank.to_numpy(), kind="stable")].reset_index(drop=True)


def renew() -> None:
    """Write the kept audit of the published numbers anew."""
    write_csv(published_audit(), KEPT)


def audit(metrics: pd.DataFrame) -> pd.DataFrame:
    """The kept audit of the published numbers, and the same bounds over our own rows.

    Args:
        metrics: long table of an experiment.
    """
    kept = pd.read_csv(KEPT, dtype=str, keep_default_na=False)
    ours = pd.DataFrame(bounds(our_rows(metrics)), columns=COLUMNS).fillna("")
    return pd.concat([kept, ours], ignore_index=True)
