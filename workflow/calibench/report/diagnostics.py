"""Parts that appear when the stages behind them have run: one function and one notebook cell each.

Each shows a CSV of the experiment as a table; a stage that writes more columns needs no change here.
"""

from typing import Any

import pandas as pd

from calibench.backbones.names import backbone_label
from calibench.regimes.catalog import label
from calibench.report.experiment import Experiment
from calibench.report.html import Html, details, heading, join, number, paragraph, slug, table

IDENTITY = ["dataset", "backbone", "run", "seed"]
GRADIENTS = (
    "Norm of each regime's gradient over that of hard labels on the same batch, by the network's parameters and by the "
    "logits, at the first step of the first and last epoch and of those after a third and two thirds; means over seeds. A "
    "ratio of 1/3 is a learning rate of a third."
)
OPEN_ROWS = 40  # longer tables are folded


def readable(frame: pd.DataFrame) -> pd.DataFrame:
    """Identity columns first and as labels; columns with one value throughout are dropped by the
    caller if wanted.
    """
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


def gradients(experiment: Experiment) -> Html:
    """gradients.csv: gradient norms of the regimes."""
    return _csv(experiment, "gradients.csv", "Gradient norms", GRADIENTS)


def sweep(experiment: Experiment) -> Html:
    """sweep.csv: values tried for each regime and the one validation prefers."""
    by = {"val_nll": "NLL", "val_top1": "Top-1 accuracy"}[experiment.config["sweep"]["by"]]
    text = (
        f"Each run at several values of a setting, one setting at a time (lr: factors on the learning rate); the choice is "
        f"by {by} on the selection half of validation. Tries: runs that a regime had in all; one that had more had more "
        "chances."
    )
    return _csv(experiment, "sweep.csv", "Sweep", text)


def confusions(experiment: Experiment) -> Html:
    """confusions.csv: which classes are taken for which on test."""
    text = (
        "For each class, the other classes that its test images are most often taken for, seeds together. "
        "Where a regime learns a label matrix, its entry for that class stands beside it."
    )
    return _csv(experiment, "confusions.csv", "Most frequent confusions on test", text)


def published_audit(experiment: Experiment) -> Html:
    """published_audit.csv: every published row, and our own, against every bound."""
    path = experiment.folder / "published_audit.csv"
    if not path.is_file():
        return Html()
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    rows = [_finding(row) for row in frame.sort_values("paper", kind="stable").to_dict("records")]
    columns = ["Paper", "Rule or claim", "Holds", "Where", "Numbers"]
    title = "Published tables and our own, audited"
    body = table(
        columns,
        rows,
        label=title,
        breaks=[i for i in range(1, len(rows)) if rows[i][0] != rows[i - 1][0]],
        text_columns=[1, 2, 3, 4],
        stack=True,
        notes=["Facts with their rule; rounding of the printed digits is allowed for."],
    )
    count = len(frame[frame["holds"] == "no"])
    text = f"{len(frame):,} checks over all published tables and our own rows; {count:,} do not hold."
    fold = len(rows) > OPEN_ROWS
    parts = [heading("All published tables, audited", "published-audit"), paragraph(text)]
    return join([*parts, details(title, body) if fold else body])


def _finding(row: dict[str, str]) -> list[Any]:
    holds = row["holds"] if row["holds"] == "yes" else Html("<strong>{}</strong>").format(row["holds"])
    backbone, regime = backbone_label(row["backbone"]), label(row["regime"]) if row["regime"] else ""
    number_of_table = f"Table {row['table']}" if row["table"].strip().isalnum() else row["table"]
    where = ", ".join(filter(None, [row["dataset"], backbone, regime, number_of_table]))
    return [row["paper"], row["rule"], holds, where, row["statement"]]
