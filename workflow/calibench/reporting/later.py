"""Parts that appear when the stages behind them have run: one function and one notebook cell each.

Each shows a CSV of the experiment (or a JSON of a store) as a table; a stage that writes more columns needs no
change here.
"""

from typing import Any

import pandas as pd

from calibench.catalog import label
from calibench.reporting.experiment import Experiment
from calibench.reporting.html import Html, details, heading, join, number, paragraph, slug, table
from calibench.tables import backbone_label

IDENTITY = ["dataset", "backbone", "run", "seed"]
OPEN_ROWS = 40  # longer tables are folded


def readable(frame: pd.DataFrame) -> pd.DataFrame:
    """Identity columns first and as labels; columns with one value throughout are dropped by the caller if wanted."""
    frame = frame.copy()
    if "regime" in frame:
        variant = frame["variant"].fillna("").astype(str) if "variant" in frame else ""
        frame["run"] = [label(name) for name in frame["regime"].astype(str) + variant]
        frame = frame.drop(columns=["regime", "variant"], errors="ignore")
    if "backbone" in frame:
        frame["backbone"] = [backbone_label(str(name)) for name in frame["backbone"]]
    first = [c for c in IDENTITY if c in frame]
    return frame[first + [c for c in frame if c not in first]]


def frame_table(frame: pd.DataFrame, title: str, *, notes: tuple[str, ...] = ()) -> Html:
    """Any frame as a table: text left, numbers right, columns that never change named once above."""
    frame = readable(frame)
    constant = [c for c in frame if len(frame) > 1 and frame[c].nunique(dropna=False) == 1]
    said = ", ".join(f"{c.replace('_', ' ')} {_cell(frame[c].iloc[0])}" for c in constant)
    frame = frame.drop(columns=constant)
    texts = [i for i, c in enumerate(frame) if not pd.api.types.is_numeric_dtype(frame[c])]
    stub = max(1, len([c for c in IDENTITY if c in frame]))
    rows = [[_cell(v) for v in row] for row in frame.itertuples(index=False)]
    breaks = [i for i in range(1, len(rows)) if rows[i][0] != rows[i - 1][0]]
    body = table(
        [str(c).replace("_", " ") for c in frame],
        rows,
        label=title,
        stub=stub,
        breaks=breaks,
        text_columns=texts,
        caption=f"{title} ({said})" if said else title,
        notes=notes,
    )
    return details(f"{title}: {len(rows):,} rows", body) if len(rows) > OPEN_ROWS else body


def _cell(value: Any) -> str:
    return number(value) if not isinstance(value, str) else value


def _csv(experiment: Experiment, file: str, title: str, text: str) -> Html:
    """A heading, what the numbers are, and the table; nothing at all where the file is not there."""
    frame = experiment.frame(file)
    if frame is None or frame.empty:
        return Html()
    return join([heading(title, slug(file.removesuffix(".csv"))), paragraph(text), frame_table(frame, title)])


def contrasts(experiment: Experiment) -> Html:
    """contrasts.csv: paired comparisons named in the config beforehand."""
    return _csv(
        experiment,
        "contrasts.csv",
        "Comparisons named beforehand",
        "Paired mean differences over seeds with intervals, Holm-corrected over the comparisons named in the config.",
    )


def intervals(experiment: Experiment) -> Html:
    """intervals.csv: how far each number moves when other images are drawn."""
    return _csv(experiment, "intervals.csv", "Intervals", "Resampling of the test images by group, for each run on its own.")


def posthoc(experiment: Experiment) -> Html:
    """posthoc.csv: calibrators fitted on the calibration half, applied to test."""
    return _csv(
        experiment,
        "posthoc.csv",
        "After post-hoc calibration",
        "Calibrators are fitted on the calibration half of validation only and applied to the test set; hard labels "
        "with temperature scaling are what a reader would do instead of a regime.",
    )


def strata(experiment: Experiment) -> Html:
    """strata.csv: the measures within each stratum, the worst named."""
    return _csv(experiment, "strata.csv", "By stratum", "The same measures within each stratum of the test set.")


def gradients(experiment: Experiment) -> Html:
    """gradients.csv: gradient norms of the regimes."""
    return _csv(experiment, "gradients.csv", "Gradient norms", "Norm of the loss gradient at the logits.")


def published_audit(experiment: Experiment) -> Html:
    """published_audit.csv: every published row against every identity."""
    return _csv(
        experiment,
        "published_audit.csv",
        "All published tables, audited",
        "Each printed row against the identities that it must satisfy, with the rule.",
    )


def data_audit(experiment: Experiment) -> Html:
    """audit.json of each store: duplicates, conflicts, leaks, blanks."""
    parts = []
    for dataset in experiment.datasets:
        found = experiment.store_json(dataset, "audit.json")
        rows = [[str(k).replace("_", " "), _short(v)] for k, v in found.items()]
        if rows:
            parts += [
                heading(f"Audit of {dataset}", slug("audit", dataset)),
                table(["Finding", "Value"], rows, label=f"Audit of {dataset}", text_columns=[1]),
            ]
    return join(parts)


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value):,} entries" if len(value) > 5 else "; ".join(map(_short, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{k} {_short(v)}" for k, v in value.items()) or "none"
    return _cell(value)
