"""Section 5: the printed numbers held against what any set of predictions must satisfy."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pandas as pd

from calibench.catalog import label
from calibench.reporting.experiment import Experiment
from calibench.reporting.html import Html, absent, heading, join, paragraph, table
from calibench.tables import backbone_label

Cells = dict[tuple[str, str, str], Decimal]  # (backbone, regime, metric) → as printed


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
                "confidence": cells["avg_confidence"], "gap": gap, "ece": ece, "slack": slack, "holds": ece + slack >= gap,
            }
        )  # fmt: skip
    return rows


def cells_of(frame: pd.DataFrame) -> Cells:
    """The first printed value of each cell, in its printed unit."""
    found: Cells = {}
    for row in frame.to_dict("records"):
        found.setdefault((row["backbone"], row["regime"], row["metric"]), Decimal(row["value"]))
    return found


def _backbones(cells: Cells) -> list[str]:
    return list(dict.fromkeys(key[0] for key in cells))


def _names(pairs: Iterable[tuple[str, str]]) -> str:
    return "; ".join(f"{backbone_label(b)}: {text}" for b, text in pairs)


def _lowest(cells: Cells, metric: str) -> tuple[str, str]:
    """Is OLS the lowest everywhere?"""
    beaten = []
    for backbone in _backbones(cells):
        row = {r: v for (b, r, m), v in cells.items() if b == backbone and m == metric}
        best = min(row, key=row.__getitem__)
        if row[best] < row["ols"]:
            beaten.append((backbone, f"{label(best)} {row[best]} < OLS {row['ols']}"))
    return ("no", _names(beaten)) if beaten else ("yes", "OLS is the lowest in every row")


def _resnet_gain(cells: Cells) -> tuple[str, str]:
    hard, ols = (cells["resnet50", regime, "top1_error"] for regime in ("hard", "ols"))
    text = f"{hard} − {ols} = {hard - ols} points absolute, {100 * (hard - ols) / hard:.1f} % relative"
    return ("yes" if 1 <= hard - ols <= 2 else "no"), text


def _baselines_improve(metric: str) -> Callable[[Cells], tuple[str, str]]:
    def test(cells: Cells) -> tuple[str, str]:
        worse = []
        for backbone in _backbones(cells):
            for regime in ("ls", "tfkd_reg"):
                delta = cells[backbone, regime, metric] - cells[backbone, "hard", metric]
                if delta > 0:
                    worse.append((backbone, f"{label(regime)} is worse by {delta}"))
        return ("no", _names(worse)) if worse else ("yes", "lower in every row")

    return test


def _much_lower(cells: Cells) -> tuple[str, str]:
    gains = []
    for backbone in _backbones(cells):
        ols = cells[backbone, "ols", "top5_error"]
        gains.append((backbone, ", ".join(f"{cells[backbone, r, 'top5_error'] - ols} below {label(r)}" for r in ("ls", "tfkd_reg"))))
    smallest = min(cells[b, r, "top5_error"] - cells[b, "ols", "top5_error"] for b in _backbones(cells) for r in ("ls", "tfkd_reg"))
    return ("in part" if 0 < smallest < 1 else "yes" if smallest > 0 else "no"), _names(gains)


def _figure_backbone(cells: Cells) -> tuple[str, str]:
    names = ", ".join(map(backbone_label, _backbones(cells)))
    return ("yes" if "resnet56" in _backbones(cells) else "no"), f"the tables have {names}"


# file of config/published → (claim in the paper's text, how to test it against its own cells)
CLAIMS: dict[str, list[tuple[str, Callable[[Cells], tuple[str, str]]]]] = {
    "ols_radimagenet": [
        ("OLS has the lowest Top-1 error for all three backbones", lambda cells: _lowest(cells, "top1_error")),
        ("OLS has the lowest Top-5 error for all three backbones", lambda cells: _lowest(cells, "top5_error")),
        ("OLS lowers the Top-1 error of ResNet-50 by 1–2 % absolute", _resnet_gain),
        ("LS and Tf-KD improve on hard labels (Top-1)", _baselines_improve("top1_error")),
        ("LS and Tf-KD improve on hard labels (Top-5)", _baselines_improve("top5_error")),
        ("Top-5 error under OLS is much lower than under LS or Tf-KD (here: by a point or more)", _much_lower),
        ("Fig. 2 shows a network of the tables (its caption says ResNet-56)", _figure_backbone),
    ]
}


def check(experiment: Experiment) -> Html:
    """Identities and claims, computed from the published table."""
    head = heading("The published numbers, checked", "published-check")
    path = experiment.published_file
    if path is None:
        return join([head, absent("The config names no published numbers (tables: published), so none are checked.")])
    frame = read(path)
    return join([head, _identity_table(frame), _claim_table(frame, path.stem)])


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
        "On one set of predictions the expected calibration error is a weighted mean of |accuracy − confidence| over "
        "bins, so it can never be below |mean confidence − accuracy| (triangle inequality), whatever the bins. "
        "Rounding of the printed digits is allowed for."
    )
    outcome = (
        f"{broken} of {len(rows)} printed rows cannot come from one set of predictions; error and calibration must have "
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


def _claim_table(frame: pd.DataFrame, stem: str) -> Html:
    if stem not in CLAIMS:
        return absent("No claims of this paper's text have been written down as tests.")
    cells, rows = cells_of(frame), []
    for claim, test in CLAIMS[stem]:
        try:
            holds, numbers = test(cells)
        except KeyError as error:
            holds, numbers = "–", f"the table has no cell {error}"
        rows.append([claim, Html("<strong>{}</strong>").format(holds) if holds != "yes" else holds, numbers])
    return table(
        ["In the text", "Holds in its tables", "Printed numbers"],
        rows,
        label="Claims of the text against the tables",
        text_columns=[1, 2],
        caption="Claims of the text held against the paper's own cells (errors in per cent points)",
        notes=["The paper prints no seeds and no deviations, so none of these differences can be tested."],
    )
