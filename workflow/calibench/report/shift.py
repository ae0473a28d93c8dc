"""Away from the test images: another site, corruptions, attacks; what was left out of a site."""

from typing import Any

import pandas as pd

from calibench.backbones.names import backbone_label
from calibench.files import read_json
from calibench.finished.names import SET
from calibench.finished.sets import ATTACK, CORRUPTION, SITE
from calibench.regimes.catalog import label
from calibench.report.comparisons import NAMES, interval, run_label
from calibench.report.experiment import Experiment
from calibench.report.html import (
    Html,
    bullets,
    details,
    heading,
    join,
    listed,
    number,
    paragraph,
    plural,
    table,
)
from calibench.report.results import draw

OPEN_ROWS = 40  # longer tables are folded
# measure → header, factor, decimals
SHOWN = {
    "top1_error": ("Top-1 error (%)", 100, 2),
    "gap": ("Confidence − accuracy", 1, 4),
    "ece": ("ECE", 1, 4),
    "nll": ("NLL (nats)", 1, 4),
}
FITTED = ("ece", "nll")


def _group(row: Any) -> str:
    """What a row of shift.csv is counted under: kinds of corruption together, by severity."""
    if row.kind == SITE:
        return f"site {row.split.partition('@')[2]}"
    if row.kind == CORRUPTION:
        return f"corruptions, severity {row.level:g}"
    return f"{row.split.partition('@')[2]} ({row.family.upper()}, ±{row.level:g})"


def _cell(values: pd.Series, metric: str) -> str | None:
    found = values.get(metric)
    if found is None or found != found:
        return None
    _, factor, places = SHOWN[metric]
    return f"{factor * found:{'+' if metric == 'gap' else ''}.{places}f}".replace("-", "−")


def _rows(experiment: Experiment, frame: pd.DataFrame) -> tuple[list[list[Any]], list[int]]:
    """A row for test and for each group of sets of each run, mean over seeds and kinds of corruption."""
    frame = frame.assign(
        run=frame["regime"] + frame["variant"].fillna(""), group=[_group(r) for r in frame.itertuples()]
    )
    several, rows, breaks = len(experiment.datasets) > 1, [], []
    keys = ["dataset", "backbone", "run"]
    for (dataset, backbone, run), part in frame.groupby(keys, sort=False):
        head = f"{backbone_label(backbone)}, {dataset}" if several else backbone_label(backbone)
        breaks.append(len(rows))
        blocks = [("test images", part.assign(value=part["test"]))]
        blocks += [(name, part[part["group"] == name]) for name in dict.fromkeys(part["group"])]
        for name, block in blocks:
            means = block.groupby(["calibrator", "metric"])["value"].mean()
            plain = means.get("none", pd.Series(dtype=float))
            fitted = means.get("temperature", pd.Series(dtype=float))
            cells = [_cell(plain, metric) for metric in SHOWN] + [_cell(fitted, metric) for metric in FITTED]
            rows.append([head, label(run), name, *cells])
    return rows, breaks


def _sites(experiment: Experiment) -> list[str]:
    """What of each site could be asked about."""
    said = []
    for dataset in experiment.datasets:
        for site in experiment.config["evaluate_on"]["sites"]:
            path = experiment.folder / dataset / "sites" / f"{site}.json"
            if site == dataset or not path.is_file():
                continue
            found = read_json(path)
            text = f"{site}: {plural(found['n'], 'image')} of {plural(len(found['common']), 'class', 'classes')} that networks trained on {dataset} know"
            if found["missing"]:
                text += f"; it has none of {listed(found['missing'][:5])}" + (
                    " and others" if len(found["missing"]) > 5 else ""
                )
            if left := sum(found["unknown"].values()):
                text += f"; {plural(left, 'image')} of other classes left out"
            if found["copies"]:
                text += f"; {plural(found['copies'], 'image')} left out that are training images of {dataset}, pixel by pixel"
            said.append(text + ".")
    return said


def _comparisons(experiment: Experiment) -> Html:
    """The comparisons named in the config, pooled over backbones and data sets, on each of the other sets."""
    frame = experiment.frame("contrasts.csv", sets=True)
    if frame is None:
        return Html()
    frame = frame[(frame["family"] == "primary") & frame["split"].str.startswith(SET)]
    rows = []
    for row in frame.sort_values(["run", "reference"], kind="stable").to_dict("records"):
        low, high = (
            row[f"{end}_holm"] if row["p_holm"] == row["p_holm"] else row[end] for end in ("low", "high")
        )
        difference = {"value": row["difference"], "low": low, "high": high}
        rows.append(
            [
                f"{run_label(row['run'])} − {run_label(row['reference'])}",
                row["split"].removeprefix(SET),
                NAMES.get(row["metric"], row["metric"]),
                interval(row["metric"], difference, signed=True),
                number(row["p_holm"], 3),
                row["verdict"],
            ]
        )
    title = "Comparisons named beforehand, on these images"
    heads = ["Comparison", "Asked about", "Measure", "Difference", "p (Holm)", "Verdict"]
    breaks = [i for i in range(1, len(rows)) if rows[i][:2] != rows[i - 1][:2]]
    notes = ["p values and intervals are Holm-adjusted over the comparisons of a measure on the same images."]
    body = table(
        heads, rows, label=title, stub=2, breaks=breaks, text_columns=[2, 5], caption=title, notes=notes
    )
    return details(f"{title}: {number(len(rows))} rows", body) if rows else Html()


def shift(experiment: Experiment) -> Html:
    """Table, figure and notes; nothing where no network was asked about more than its test images."""
    frame = experiment.frame("shift.csv", sets=True)
    if frame is None:
        return Html()
    frame = frame[~frame["variant"].fillna("").str.contains("@")]
    rows, breaks = _rows(experiment, frame)
    kinds = set(frame["kind"])
    notes = [
        "Mean over seeds. Temperatures are fitted on the calibration half of the data set that was trained on, never on "
        "the set that is asked about: the last columns show how a temperature carries over."
    ]
    if CORRUPTION in kinds:
        count = frame.loc[frame["kind"] == CORRUPTION, "family"].nunique()
        notes.append(f"Corruptions: mean of {plural(count, 'kind')}; shift.csv has each.")
    if ATTACK in kinds:
        notes.append("Attacks know the network; ± is the largest change of a pixel in grey levels of 255.")
    heads = [name for name, _, _ in SHOWN.values()]
    body = table(
        ["Backbone", "Regime", "Asked about", *heads, *(SHOWN[m][0] for m in FITTED)],
        rows,
        label="Other evaluation sets",
        groups=[("", 3), ("As trained", len(SHOWN)), ("After temperature", len(FITTED))],
        stub=3,
        breaks=breaks,
        caption="The test images, and what the same networks say of other images",
        notes=notes,
    )
    shown = (
        details(f"Other evaluation sets ({number(len(rows))} rows)", body) if len(rows) > OPEN_ROWS else body
    )
    text = "A calibrated network may be one on its own test images only. The same weights were asked about other images."
    said = _sites(experiment)
    return join(
        [
            heading("Away from the test images", "shift"),
            paragraph(text),
            *([bullets(said)] if said else []),
            shown,
            _comparisons(experiment),
            *draw(experiment, "shift"),
        ]
    )
