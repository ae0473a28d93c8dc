"""The long tables of an experiment, one row per number: their columns, and how to read and join them."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from calibench.errors import UserError
from calibench.finished.names import KEYS
from calibench.metrics.coverage import COLUMNS as COVERAGES
from calibench.statistics.decision import COLUMNS as DECISIONS
from calibench.statistics.facts import COLUMNS as FACTS

METRICS = [*KEYS, "split", "checkpoint", "metric", "value", "n"]
CALIBRATED = [*KEYS, "split", "checkpoint", "calibrator", "metric", "value", "n"]
SELECTIVE = [*KEYS, "split", "checkpoint", "confidence", "metric", "value", "n"]
STRATA = [*KEYS, "split", "checkpoint", "level", "stratum", "metric", "value", "n", "worst"]
CONFORMAL = [*KEYS, "split", "checkpoint", *COVERAGES]
DECISION = [*KEYS, "split", "checkpoint", *DECISIONS]
WARNINGS = [*KEYS, "checkpoint", *FACTS]
RUN_TABLES = {  # what the stage analyse writes of each run: its columns
    "metrics": METRICS,
    "posthoc": CALIBRATED,
    "strata": STRATA,
    "selective": SELECTIVE,
    "conformal": CONFORMAL,
    "decision": DECISION,
    "warnings": WARNINGS,
}
TEXT = ["dataset", "backbone", "regime", "variant", "split", "checkpoint", "metric"]


def join(paths: Iterable[Path]) -> str:
    """One CSV text from CSV files with equal headers; as text, because that is fast for hundreds of files.

    UserError for a missing or empty file, a different header, the same file twice, or no files.
    """
    header, first, bodies, seen = None, None, [], set()
    for path in map(Path, paths):
        if path in seen:
            raise UserError(f"{path} is given twice; remove one")
        seen.add(path)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise UserError(f"{path} is missing; run the stage that writes it first") from error
        head, _, body = text.partition("\n")
        if not head:
            raise UserError(f"{path} is empty; delete it and run again")
        if header is None:
            header, first = head, path
        if head != header:
            raise UserError(f"{path} has other columns than {first}; delete the older one and run again")
        bodies.append(body if body.endswith("\n") or not body else body + "\n")
    if header is None:
        raise UserError("no tables to join: none of the runs has finished")
    return "".join([header, "\n", *bodies])


def read_long(path: Path) -> pd.DataFrame:
    """Read a long table; text columns stay text (an empty variant is ''). UserError if a column is missing."""
    if not path.is_file():
        raise UserError(f"{path} is missing; run `calibench collect` first")
    text = dict.fromkeys(TEXT, str)
    frame = pd.read_csv(path, dtype=text, keep_default_na=False, na_values={"value": ["", "nan"]})
    missing = {*TEXT, "seed", "value", "n"} - set(frame.columns)
    if missing:
        raise UserError(f"{path} has no column {', '.join(sorted(missing))}; collect it again")
    return frame
