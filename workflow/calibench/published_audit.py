"""Stage: hold every published row, and our own, against what must be true of any table of results.

Identities (calibench.metrics.identities), cells printed twice with two values, baselines equal to another
paper's, and claims of the papers' texts (config/published/claims.json) against their own cells.
Facts with their rule; what holds is counted, what does not is listed.
"""

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench.cli import run as run_stage
from calibench.errors import UserError
from calibench.evaluate import KEYS
from calibench.files import read_json, write_csv
from calibench.metrics.identities import Cells, check
from calibench.tables import backbone_label, read_metrics

COLUMNS = ["paper", "table", "dataset", "backbone", "regime", "rule", "holds", "statement"]
HIGHER_IS_BETTER = {"accuracy", "auroc", "precision", "recall", "f1"}
ROW = ["paper", "table", "dataset", "backbone", "regime"]


def read_printed(paths: Sequence[Path]) -> pd.DataFrame:
    """All published rows with ``number`` (fraction or nats) and ``slack`` (half a unit of the last digit).

    Raises:
        UserError: a missing column or a value that is no number.
    """
    frames = []
    for path in paths:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        missing = {*ROW, "metric", "value", "unit", "note"} - set(frame.columns)
        if missing:
            raise UserError(f"{path} lacks the column(s) {', '.join(sorted(missing))}")
        bad = ~frame["value"].str.fullmatch(r"\d+(\.\d+)?")
        if bad.any():
            raise UserError(
                f"{path}, row {int(np.flatnonzero(bad)[0]) + 2}: {frame['value'][bad].iloc[0]!r} is no number"
            )
        scale = np.where(frame["unit"] == "%", 0.01, 1.0)
        digits = frame["value"].str.partition(".")[2].str.len().to_numpy()
        numbers = frame["value"].astype(float)
        frames.append(
            frame.assign(
                file=path.stem, number=numbers * scale, slack=0.5 * 10.0**-digits * scale, printed=numbers
            )
        )
    if not frames:
        raise UserError("no published tables given; pass the files of config/published")
    return pd.concat(frames, ignore_index=True)


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


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


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


def identities(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per broken identity, and one per paper and rule that counts how many cells hold."""
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
        error=flipped, data=part["dataset"].map(_plain), mark=part["note"].str.contains("copied")
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


Test = Callable[[pd.DataFrame, dict[str, Any]], tuple[bool, str]]


def _table(frame: pd.DataFrame, claim: dict[str, Any]) -> pd.DataFrame:
    """Printed values, index (dataset, backbone), columns regime, of the claim's metric and tables."""
    part = frame[frame["metric"] == claim["metric"]]
    for column in ("table", "dataset", "backbone"):
        if column in claim:
            part = part[part[column].isin(np.atleast_1d(claim[column]))]
    part = part[~part["note"].str.contains("copied|ensemble")]
    return part.pivot_table(
        index=["dataset", "backbone"], columns="regime", values="printed", aggfunc="first", sort=False
    )


def _where(index: tuple[str, str], table: pd.DataFrame) -> str:
    dataset, backbone = index
    several = table.index.get_level_values(0).nunique() > 1
    return f"{dataset}, {backbone_label(backbone)}" if several else backbone_label(backbone)


def best_everywhere(frame: pd.DataFrame, claim: dict[str, Any]) -> tuple[bool, str]:
    """``regime`` is strictly best of the row in every row of the table."""
    table, beaten = _table(frame, claim), []
    sign = -1 if claim["metric"] in HIGHER_IS_BETTER else 1
    for index, row in table.iterrows():
        others = (sign * row.drop(claim["regime"])).dropna()
        if len(others) and others.min() <= sign * row[claim["regime"]]:
            rival = others.idxmin()
            beaten.append(
                f"{_where(index, table)}: {rival} {row[rival]:g}, {claim['regime']} {row[claim['regime']]:g}"
            )
    return not beaten, "; ".join(beaten) or f"best in all {len(table)} rows"


def improves(frame: pd.DataFrame, claim: dict[str, Any]) -> tuple[bool, str]:
    """Every one of ``regimes`` is better than ``than`` in every row."""
    table, worse = _table(frame, claim), []
    sign = -1 if claim["metric"] in HIGHER_IS_BETTER else 1
    for index, row in table.iterrows():
        than = claim["than"]
        for regime in claim["regimes"]:
            if not sign * row[regime] < sign * row[than]:
                worse.append(f"{_where(index, table)}: {regime} {row[regime]:g}, {than} {row[than]:g}")
    return not worse, "; ".join(worse) or f"better in all {len(table)} rows"


def gains(frame: pd.DataFrame, claim: dict[str, Any]) -> tuple[bool, str]:
    """The mean over rows of ``than`` − ``regime`` is in ``points`` [low, high], in printed units.

    Two cells of two decimals and the claim's own rounding may together be off by 0.015.
    """
    table = _table(frame, claim)
    sign = -1 if claim["metric"] in HIGHER_IS_BETTER else 1
    delta = sign * (table[claim["than"]] - table[claim["regime"]])
    low, high = claim["points"]
    mean = float(delta.mean())
    relative = 100 * mean / float(table[claim["than"]].mean())
    said = f"{mean:.3g} points ({relative:.1f} % relative)" + (
        "" if len(delta) == 1 else f", mean of {len(delta)}"
    )
    return low - 0.0151 <= mean <= high + 0.0151, said


def each_gains(frame: pd.DataFrame, claim: dict[str, Any]) -> tuple[bool, str]:
    """``regime`` is better than each of ``others`` by at least ``points`` in every row."""
    table = _table(frame, claim)
    sign = -1 if claim["metric"] in HIGHER_IS_BETTER else 1
    found = {
        (index, other): sign * (row[other] - row[claim["regime"]])
        for index, row in table.iterrows()
        for other in claim["others"]
    }
    small = {k: v for k, v in found.items() if v < claim["points"]}
    said = "; ".join(
        f"{_where(index, table)}: only {v:.3g} below {other}" for (index, other), v in small.items()
    )
    return not small, said or f"at least {min(found.values()):.3g} points everywhere"


def has_backbone(frame: pd.DataFrame, claim: dict[str, Any]) -> tuple[bool, str]:
    """The tables have the network that a figure or a text speaks of."""
    known = list(dict.fromkeys(frame["backbone"]))
    return claim["backbone"] in known, "the tables have " + ", ".join(map(backbone_label, known))


TESTS: dict[str, Test] = {
    test.__name__: test for test in (best_everywhere, improves, gains, each_gains, has_backbone)
}


def claims(frame: pd.DataFrame, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per claim of a paper whose file is given.

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
        place = {"paper": part["paper"].iloc[0], "table": str(claim.get("table", ""))}
        rows.append(
            {**place, "rule": f"text: {claim['claim']}", "holds": "yes" if holds else "no", "statement": said}
        )
    return rows


def audit(printed: pd.DataFrame, wanted: list[dict[str, Any]], metrics: pd.DataFrame | None) -> pd.DataFrame:
    """All checks, columns :data:`COLUMNS`, papers in the order given, ours last."""
    rows = identities(printed) + claims(printed, wanted) + printed_twice(printed) + copied(printed)
    if metrics is not None:
        rows += identities(our_rows(metrics))
    order = [*dict.fromkeys(printed["paper"]), "this experiment"]
    table = pd.DataFrame(rows, columns=COLUMNS).fillna("")
    rank = table["paper"].str.partition("; ")[0].map({name: i for i, name in enumerate(order)})
    return table.iloc[np.argsort(rank.to_numpy(), kind="stable")].reset_index(drop=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = argparse.ArgumentParser(prog="calibench.published_audit", description=__doc__)
    parser.add_argument("--published", type=Path, nargs="+", required=True, help="files of config/published")
    parser.add_argument("--claims", type=Path, help="claims.json: what the papers' texts say of their tables")
    parser.add_argument(
        "--metrics", type=Path, help="metrics.csv of the experiment: the same identities over our rows"
    )
    parser.add_argument("--out", type=Path, required=True, help="published_audit.csv to write")
    args = parser.parse_args(argv)
    wanted = read_json(args.claims) if args.claims else []
    metrics = (
        read_metrics(args.metrics)[[*KEYS, "split", "checkpoint", "metric", "value"]]
        if args.metrics
        else None
    )
    write_csv(audit(read_printed(args.published), wanted, metrics), args.out)


if __name__ == "__main__":
    run_stage(main)
