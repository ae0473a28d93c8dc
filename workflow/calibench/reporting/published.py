"""Section 5: the printed numbers held against what any set of predictions must satisfy."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from calibench import published_audit
from calibench.catalog import label
from calibench.files import read_json
from calibench.plots.cells import backbone_label
from calibench.reporting.experiment import Experiment
from calibench.reporting.html import Html, absent, heading, join, paragraph, table


def _half(value: Decimal) -> Decimal:
    """Half a unit of the last printed digit."""
    return Decimal(5).scaleb(int(value.as_tuple().exponent) - 1)


def read(path: Any) -> pd.DataFrame:
    """Rows of a published table with ``exact``, the printed value as a fraction (or in its own unit)."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    percent = frame["unit"] == "%"
    exact = [Decimal(v) / (100 if p else 1) for v, p in zip(frame["value"], percent, strict=True)]
    return frame.assign(exact=pd.Series(exact, index=frame.index, dtype=object))


def identities(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """ECE ≥ |mean confidence − accuracy| (triangle inequality), each side with its rounding.

    Returns:
        One row per cell with error (or accuracy), confidence and ECE: ``gap``, ``ece``, ``slack`` allowed by
        rounding, ``holds``.
    """
    rows = []
    for (dataset, backbone, regime), group in frame.groupby(["dataset", "backbone", "regime"], sort=False):
        cells = dict(zip(group["metric"], group["exact"], strict=True))
        accuracy = cells.get("accuracy", 1 - cells["top1_error"] if "top1_error" in cells else None)
        if accuracy is None or not {"ece", "avg_confidence"} <= set(cells):
            continue
        gap, ece = abs(cells["avg_confidence"] - accuracy), cells["ece"]
        slack = sum(map(_half, (accuracy, cells["avg_confidence"], ece)), Decimal(0))
        rows.append(
            {
                "dataset": dataset, "backbone": backbone, "regime": regime, "accuracy": accuracy,
                "confidence": cells["avg_confidence"], "gap": gap, "ece": ece, "slack": slack,
                "holds": ece + slack >= gap,
            }
        )  # fmt: skip
    return rows


def check(experiment: Experiment) -> Html:
    """Identities and claims, computed from the published table."""
    head = heading("The published numbers, checked", "published-check")
    path = experiment.published_file
    if path is None:
        return join(
            [head, absent("The config names no published numbers (tables: published), so none are checked.")]
        )
    frame = read(path)
    return join([head, _identity_table(frame), _claim_table(path)])


def _identity_table(frame: pd.DataFrame) -> Html:
    rows = identities(frame)
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


def _claim_table(path: Path) -> Html:
    """Claims of the paper's text, tested on its own cells (config/published/claims.json beside the table)."""
    file = path.parent / "claims.json"
    wanted = [claim for claim in read_json(file) if claim["file"] == path.stem] if file.is_file() else []
    if not wanted:
        return absent("No claims of this paper's text have been written down as tests.")
    rows = []
    for found in published_audit.claims(published_audit.read_printed([path]), wanted):
        holds = (
            found["holds"] if found["holds"] == "yes" else Html("<strong>{}</strong>").format(found["holds"])
        )
        rows.append([found["rule"].removeprefix("text: "), holds, found["statement"]])
    return table(
        ["In the text", "Holds in its tables", "Printed numbers"],
        rows,
        label="Claims of the text against the tables",
        stack=True,
        text_columns=[1, 2],
        caption="Claims of the text held against the paper's own cells",
    )
