"""The audit of the published numbers, computed: claims of the papers' texts, cells printed twice, copied baselines.

It says the same each time, so the package carries its outcome, audit.csv. Renew it after an edit of the printed
numbers or of claims.json: ``python -m tests.published.claims``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from calibench.backbones.names import backbone_label
from calibench.errors import UserError
from calibench.files import read_json, write_csv
from calibench.published import papers
from calibench.published.audit import COLUMNS, KEPT, bounds
from calibench.published.printed import ROW, plain, read_printed

HIGHER_IS_BETTER = {"accuracy", "auroc", "precision", "recall", "f1", "map"}
CLAIMS = Path(__file__).with_name("claims.json")
FEW = 4  # a mean of so many differences or fewer is shown with each of them

Test = Callable[[pd.DataFrame, dict[str, Any]], tuple[bool, str]]
Index = tuple[str, str, str]  # data set, backbone, metric


def _tables(claim: dict[str, Any]) -> str:
    return ", ".join(map(str, np.atleast_1d(claim.get("table", ""))))


def _table(frame: pd.DataFrame, claim: dict[str, Any]) -> pd.DataFrame:
    """Printed values, index (dataset, backbone, metric), columns regime, of the claim's metrics and tables.

    Raises:
        KeyError: a name of the claim that no row has.
    """
    part = frame[~frame["note"].str.contains("copied|ensemble")]
    for column in ("metric", "table", "dataset", "backbone"):
        if column in claim:
            names = np.atleast_1d(claim[column])
            absent = [str(name) for name in names if name not in set(part[column])]
            if absent:
                raise KeyError(f"{column} {absent[0]}")
            part = part[part[column].isin(names)]
    return part.pivot_table(
        index=["dataset", "backbone", "metric"],
        columns="regime",
        values="printed",
        aggfunc="first",
        sort=False,
    )


def _sign(index: Index) -> int:
    return -1 if index[2] in HIGHER_IS_BETTER else 1


def _where(index: Index, table: pd.DataFrame) -> str:
    several = [table.index.get_level_values(level).nunique() > 1 for level in range(3)]
    dataset, backbone, metric = index
    name = backbone_label(backbone)
    return ", ".join([dataset] * several[0] + [name] + [metric] * several[2])


@dataclass(frozen=True)
class Pair:
    """Two printed cells of one row that a claim compares; ``gain`` > 0 where ``regime`` is the better one."""

    where: str
    regime: str
    than: str
    value: float
    other: float
    gain: float
    lower_is_better: bool


def _pairs(table: pd.DataFrame, claim: dict[str, Any]) -> tuple[list[Pair], str]:
    """The claim's comparisons where both cells are printed, and where only the first is, as text.

    ``pairs`` are [regime, than]; without them each of ``regimes`` (or ``regime``) against ``than`` (or each of
    ``others``).

    Raises:
        KeyError: two regimes that no row has both of.
    """
    regimes = claim.get("regimes") or [claim.get("regime")]
    others = claim.get("others") or [claim.get("than")]
    found, alone = [], []
    for regime, than in claim.get("pairs") or [(r, t) for r in regimes for t in others]:
        before = len(found)
        for index, row in table.iterrows():
            if np.isnan(row[regime]):
                continue
            if np.isnan(row[than]):
                alone.append(f"no {than} for {_where(index, table)}")
                continue
            gain = round(_sign(index) * (row[than] - row[regime]), 9)  # 0.1 + 0.2 is not 0.3
            cells = (row[regime], row[than], gain, _sign(index) > 0)
            found.append(Pair(_where(index, table), regime, than, *cells))
        if len(found) == before:
            raise KeyError(f"{regime} and {than} in one row")
    return found, "; ".join(dict.fromkeys(alone))


def _all(what: str, count: int, noun: str) -> str:
    return f"{what} in all {count} {noun}s" if count > 1 else f"{what} in the only {noun}"


def best_everywhere(frame: pd.DataFrame, claim: dict[str, Any]) -> tuple[bool, str]:
    """``regime`` (or one of ``regimes``) is strictly best of the row in every row of the table."""
    table, beaten = _table(frame, claim), []
    mine = claim.get("regimes") or [claim["regime"]]
    table = table[table[mine].notna().any(axis=1)]
    for index, row in table.iterrows():
        ranked = (_sign(index) * row).dropna()
        own, others = ranked[ranked.index.isin(mine)].idxmin(), ranked.drop(mine, errors="ignore")
        if len(others) and others.min() <= ranked[own]:
            rival = others.idxmin()
            beaten.append(f"{_where(index, table)}: {rival} {row[rival]:g}, {own} {row[own]:g}")
    return not beaten, "; ".join(beaten) or _all("best", len(table), "row")


def improves(frame: pd.DataFrame, claim: dict[str, Any]) -> tuple[bool, str]:
    """Every one of ``regimes`` is better than ``than`` in every row; or the first of each of ``pairs``."""
    found, alone = _pairs(_table(frame, claim), claim)
    worse = [f"{p.where}: {p.regime} {p.value:g}, {p.than} {p.other:g}" for p in found if p.gain <= 0]
    said = worse or [_all("better", len(found), "comparison")]
    return not worse, "; ".join([*said, alone] if alone else said)


def mostly(frame: pd.DataFrame, claim: dict[str, Any]) -> tuple[bool, str]:
    """``regime`` is better than ``than``, or without it than all others, in more than half of the cells."""
    table = _table(frame, claim)
    if "than" in claim:
        better = [p.gain > 0 for p in _pairs(table, claim)[0]]
    else:
        ranked = table.mul([_sign(index) for index in table.index], axis=0)
        rest = ranked.drop(columns=claim["regime"]).min(axis=1)
        better = list(ranked[claim["regime"]] < rest)
    than = claim.get("than", "all others")
    return 2 * sum(better) > len(better), f"better than {than} in {sum(better)} of {len(better)} cells"


def gains(frame: pd.DataFrame, claim: dict[str, Any]) -> tuple[bool, str]:
    """The mean of ``than`` − ``regime`` over rows (and ``pairs``) is in ``points`` [low, high], printed units.

    Two cells of two decimals and the claim's own rounding may together be off by 0.015.
    """
    found, _ = _pairs(_table(frame, claim), claim)
    low, high = claim["points"]
    delta = np.array([p.gain for p in found])
    mean = float(delta.mean())
    relative = 100 * mean / float(np.mean([p.other for p in found]))
    several = "" if len(delta) == 1 else f", mean of {len(delta)}"
    single = f": {', '.join(f'{d:.2f}' for d in delta)}" if 1 < len(delta) <= FEW else ""
    said = f"{mean:.3g} points ({relative:.1f} % relative){several}{single}"
    return low - 0.0151 <= mean <= high + 0.0151, said


def each_gains(frame: pd.DataFrame, claim: dict[str, Any]) -> tuple[bool, str]:
    """``regime`` is better than each of ``others`` by at least ``points`` (worse by at most, if negative) in
    every row.
    """
    found, _ = _pairs(_table(frame, claim), claim)
    small = []
    for pair in found:
        if pair.gain < claim["points"]:
            below = pair.lower_is_better == (pair.gain >= 0)
            only = "only " if pair.gain >= 0 else ""
            side = "below" if below else "above"
            small.append(f"{pair.where}: {only}{abs(pair.gain):.3g} {side} {pair.than}")
    least = min(pair.gain for pair in found)
    return not small, "; ".join(small) or f"at least {least:.3g} points everywhere"


def best_is_not_worst(frame: pd.DataFrame, claim: dict[str, Any]) -> tuple[bool, str]:
    """The cell that is best of the whole table in the first of ``metrics`` is not its worst in the second."""
    sides = []
    for metric in claim["metrics"]:
        table = _table(frame, claim | {"metric": metric})
        sides.append(_sign(table.index[0]) * table.droplevel("metric").stack())
    first, second = sides
    best = first.idxmin()
    rank = int((second < second[best]).sum()) + 1
    dataset, backbone, regime = best
    said = f"{backbone_label(backbone)}, {regime}: {claim['metrics'][0]} {abs(first[best]):g}, best of {len(first)}; "
    said += f"{claim['metrics'][1]} {abs(second[best]):g}, place {rank} of {len(second)}"
    return second[best] < second.max(), said


def covers(frame: pd.DataFrame, claim: dict[str, Any]) -> tuple[bool, str]:
    """Every pair of a backbone and a regime of the tables has the metric."""
    rows = frame.drop_duplicates(["backbone", "regime"])
    there = set(frame.loc[frame["metric"] == claim["metric"], ["backbone", "regime"]].itertuples(index=False))
    have = {tuple(pair) for pair in there}
    lacking = []
    for column, names in (("regime", rows["regime"].unique()), ("backbone", rows["backbone"].unique())):
        place = ("backbone", "regime").index(column)
        lacking += [backbone_label(name) for name in names if name not in {pair[place] for pair in have}]
    said = f"{claim['metric']} in {len(have)} of {len(rows)} rows" + (
        f"; in none for {', '.join(lacking)}" if lacking else ""
    )
    return len(have) == len(rows), said


def has_deviations(frame: pd.DataFrame, claim: dict[str, Any]) -> tuple[bool, str]:
    """Every number has a deviation beside it."""
    count = int((frame["sd"] != "").sum())
    return count == len(frame), f"{count} of {len(frame)} numbers have a deviation"


def has_backbone(frame: pd.DataFrame, claim: dict[str, Any]) -> tuple[bool, str]:
    """The tables have the network that a figure or a text speaks of."""
    known = list(dict.fromkeys(frame["backbone"]))
    return claim["backbone"] in known, "the tables have " + ", ".join(map(backbone_label, known))


def as_read(frame: pd.DataFrame, claim: dict[str, Any]) -> tuple[bool, str]:
    """No cell can tell: ``holds`` and ``found`` are what a reader of the paper wrote down."""
    return bool(claim["holds"]), f"by reading: {claim['found']}"


TESTS: dict[str, Test] = {
    test.__name__: test
    for test in (
        best_everywhere,
        improves,
        mostly,
        gains,
        each_gains,
        best_is_not_worst,
        covers,
        has_deviations,
        has_backbone,
        as_read,
    )
}


def claims(frame: pd.DataFrame, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per claim of a paper whose file is given.

    ``kind`` says whose sentence it is: "text" of the paper (the default), or "expected" of any such table, by us.

    Raises:
        UserError: a claim whose test is unknown or whose cells are not in the paper's file.
    """
    rows = []
    for claim in wanted:
        part = frame[frame["file"] == claim["file"]]
        if part.empty:
            continue
        if claim["test"] not in TESTS:
            raise UserError(
                f"claims.json: {claim['claim']!r}: no test {claim['test']!r}; use {', '.join(TESTS)}"
            )
        try:
            holds, said = TESTS[claim["test"]](part, claim)
        except KeyError as error:
            raise UserError(f"claims.json: {claim['claim']!r}: the table has no {error}") from error
        place = {"paper": part["paper"].iloc[0], "table": _tables(claim)}
        rule = f"{claim.get('kind', 'text')}: {claim['claim']}"
        rows.append({**place, "rule": rule, "holds": "yes" if holds else "no", "statement": said})
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


if __name__ == "__main__":
    write_csv(published_audit(), KEPT)
