"""Printed numbers: read with their rounding for the audit, and as text for the tables."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd

from calibench.errors import UserError
from calibench.metrics.labels import METRICS

ROW = ["paper", "table", "dataset", "backbone", "regime"]
OPPOSITE = {"accuracy": "top1_error", "top1_error": "accuracy"}  # papers print one of the two, in per cent


def plain(name: str) -> str:
    """A name reduced to small letters and digits, to compare different spellings."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def read_printed(paths: Sequence[Path]) -> pd.DataFrame:
    """All published rows with ``number`` (fraction or nats) and ``slack`` (half a unit of the last digit).

    UserError for a missing column or a value that is not a number.
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
                f"{path}, row {int(np.flatnonzero(bad)[0]) + 2}: {frame['value'][bad].iloc[0]!r} is not a number"
            )
        scale = np.where(frame["unit"] == "%", 0.01, 1.0)
        digits = frame["value"].str.partition(".")[2].str.len().to_numpy()
        numbers = frame["value"].astype(float)
        slack = 0.5 * 10.0**-digits * scale
        frames.append(frame.assign(file=path.stem, number=numbers * scale, slack=slack, printed=numbers))
    if not frames:
        raise UserError("no published tables given; name at least one file")
    return pd.concat(frames, ignore_index=True)


@dataclass(frozen=True)
class Published:
    """Printed numbers of one paper: ``cells`` maps (dataset, backbone, regime, metric) to printed text.

    ``derived`` are the cells that are 100 - the printed number: a paper prints the accuracy or the error.
    """

    paper: str
    cells: dict[tuple[str, str, str, str], str]
    derived: frozenset[tuple[str, str, str, str]] = frozenset()

    def datasets(self) -> list[str]:
        """The data sets of the paper."""
        return sorted({key[0] for key in self.cells})

    def dataset_for(self, name: str) -> str | None:
        """The data set of the paper with the longest name that starts ours, as words; None if there is none.

        ``radimagenet_64px`` is RadImageNet, ``cifar100`` is not CIFAR10.
        """
        ends = [*(found.start() for found in re.finditer(r"[^A-Za-z0-9]", name)), len(name)]
        starts = {plain(name[:end]) for end in ends}
        fits = [theirs for theirs in self.datasets() if plain(theirs) in starts]
        return max(fits, key=len, default=None)


def read_published(path: Path, tables: str | Sequence[str] | None = None) -> Published:
    """The printed numbers of one file (of ``tables`` only), as text; a number printed twice is from the first table.

    UserError if the file, a column or a table is missing.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; correct tables.published")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    needed = {"paper", "dataset", "backbone", "regime", "metric", "value", "unit", "note"}
    if missing := needed - set(frame.columns):
        raise UserError(f"{path} lacks the column(s) {', '.join(sorted(missing))}")
    paper = frame["paper"].iloc[0]
    if tables is not None:
        wanted = [tables] if isinstance(tables, str) else list(tables)
        unknown = set(wanted) - set(frame.get("table", ()))
        if unknown:
            raise UserError(f"{path}: no table '{sorted(unknown)[0]}'; correct printed under tables.layouts")
        frame = frame[frame["table"].isin(wanted)]
    cells: dict[tuple[str, str, str, str], str] = {}
    for row in frame.to_dict("records"):
        key = (row["dataset"], row["backbone"], row["regime"], row["metric"])
        if row["metric"] in METRICS and "copied" not in row["note"]:
            cells.setdefault(key, _in_our_unit(row["value"], row["unit"], row["metric"]))
    printed = [(key, text) for key, text in cells.items() if key[3] in OPPOSITE]
    derived = {(*key[:3], OPPOSITE[key[3]]): str(100 - Decimal(text)) for key, text in printed}
    derived = {key: text for key, text in derived.items() if key not in cells}
    return Published(paper, cells | derived, frozenset(derived))


def _in_our_unit(printed: str, unit: str, metric: str) -> str:
    """The printed text, with the decimal point moved if our table has another unit than the paper."""
    shift = {("%", 1): -2, ("fraction", 100): 2}.get((unit, METRICS[metric][1]), 0)
    return str(Decimal(printed).scaleb(shift)) if shift else printed
