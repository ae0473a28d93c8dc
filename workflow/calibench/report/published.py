"""Section 5: the printed numbers held against what any set of predictions must satisfy."""

from typing import Any

import pandas as pd

from calibench.backbones.names import backbone_label
from calibench.published.audit import CLAIM, kept_audit
from calibench.published.bounds import Cells, ece_gap, error_of
from calibench.published.printed import read_printed
from calibench.regimes.catalog import label
from calibench.report.experiment import Experiment
from calibench.report.html import Html, absent, heading, join, paragraph, table


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
            rows.append({"backbone": backbone, "regime": regime, **row})
    return rows


def check(experiment: Experiment) -> Html:
    """Bounds and claims, computed from the published table."""
    head = heading("The published numbers, checked", "published-check")
    path = experiment.published_file
    if path is None:
        return join(
            [head, absent("The config names no published numbers (tables: published), so none are checked.")]
        )
    frame = read_printed([path])
    return join([head, _bound_table(frame), _claim_table(frame["paper"].iloc[0])])


def _bound_table(frame: pd.DataFrame) -> Html:
    rows = bound_rows(frame)
    if not rows:
        return absent("The published table has no cell with error, confidence and ECE together.")
    shown = [
        [
            backbone_label(r["backbone"]),
            label(r["regime"]),
            *(f"{r[key]:.4f}" for key in ("accuracy", "confidence", "gap", "ece")),
            "yes" if r["holds"] else Html("<strong>no</strong>"),
        ]
        for r in rows
    ]
    broken = sum(not r["holds"] for r in rows)
    rule = (
        "On one set of predictions the expected calibration error is a weighted mean of |accuracy − "
        "confidence| over "
        "bins, so it can never be below |mean confidence − accuracy| (triangle inequality), whatever the "
        "bins. "
        "Rounding of the printed digits is allowed for."
    )
    outcome = (
        f"{broken} of {len(rows)} printed rows cannot come from one set of predictions; error and "
        f"calibration must have "
        "been taken from different models, images or definitions."
        if broken
        else f"All {len(rows)} printed rows are possible."
    )
    body = table(
        ["Backbone", "Regime", "Accuracy", "Mean confidence", "|Gap|", "ECE", "Possible"],
        shown,
        label="ECE against the gap of confidence and accuracy",
        stub=2,
        caption=f"{frame['paper'].iloc[0]}: ECE against |mean confidence − accuracy|, as fractions",
        notes=[outcome],
    )
    return join([paragraph(rule), body])


def _claim_table(paper: str) -> Html:
    """Claims of the paper's text, held against its own cells."""
    kept = kept_audit()
    found = kept[(kept["paper"] == paper) & kept["rule"].str.startswith(CLAIM)]
    if found.empty:
        return absent("No claims of this paper's text have been written down as tests.")
    rows = []
    for row in found.itertuples():
        holds = row.holds if row.holds == "yes" else Html("<strong>{}</strong>").format(row.holds)
        origin, _, claim = row.rule.partition(": ")
        rows.append([claim, "its text" if origin == "text" else "ours", holds, row.statement])
    return table(
        ["Statement", "Expectation of", "Holds in its tables", "Printed numbers"],
        rows,
        label="Claims of the text against the tables",
        stack=True,
        text_columns=[1, 2, 3],
        caption="Claims of the text, and what a reader may expect of it, held against the paper's own cells",
    )
