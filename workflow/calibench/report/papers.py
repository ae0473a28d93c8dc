"""The printed numbers of the papers held against what any set of predictions must satisfy, and our own."""

from typing import Any

import pandas as pd

from calibench.backbones.names import backbone_label
from calibench.published.audit import CLAIM, kept_audit
from calibench.published.bounds import Cells, ece_gap, error_of
from calibench.published.printed import read_printed
from calibench.regimes.catalog import label
from calibench.report.experiment import Experiment


def bound_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a published table that have error (or accuracy), confidence and ECE, and whether they are possible.

    Args:
        frame: as :func:`calibench.published.printed.read_printed` gives it.
    """
    rows = []
    for (_, backbone, regime), group in frame.groupby(["dataset", "backbone", "regime"], sort=False):
        cells: Cells = {cell.metric: (cell.number, cell.slack) for cell in group.itertuples()}
        if found := ece_gap(cells):
            row = {"accuracy": 1 - error_of(cells)[0], "confidence": cells["avg_confidence"][0]}
            row |= {"gap": found.right, "ece": found.left, "holds": found.holds}
            rows.append({"backbone": backbone_label(backbone), "regime": label(regime), **row})
    return rows


def target(x: Experiment) -> dict[str, Any] | None:
    """Name, bounds and claims of the paper that the config names; None without one."""
    if x.published_file is None:
        return None
    frame = read_printed([x.published_file])
    paper = frame["paper"].iloc[0]
    kept = kept_audit()
    claims = kept[(kept["paper"] == paper) & kept["rule"].str.startswith(CLAIM)]
    said = [[*row.rule.partition(": ")[::2], row.holds, row.statement] for row in claims.itertuples()]
    return {"paper": paper, "rows": bound_rows(frame), "claims": said}


def audit(x: Experiment) -> list[list[str]]:
    """Every finding of published_audit.csv: paper, rule, whether it holds, where, numbers."""
    path = x.folder / "published_audit.csv"
    if not path.is_file():
        return []
    frame = pd.read_csv(path, dtype=str, keep_default_na=False).sort_values("paper", kind="stable")
    return [[row.paper, row.rule, row.holds, _where(row), row.statement] for row in frame.itertuples()]


def _where(row: Any) -> str:
    table = f"Table {row.table}" if row.table.strip().isalnum() else row.table
    regime = label(row.regime) if row.regime else ""
    return ", ".join(filter(None, [row.dataset, backbone_label(row.backbone), regime, table]))
