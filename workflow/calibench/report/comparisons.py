"""Tables of the statistics: comparisons, intervals, post-hoc calibration, strata. Nothing where a
file is absent.
"""

from itertools import product
from typing import Any

import pandas as pd

from calibench.backbones.names import backbone_label
from calibench.calibrators.temperature import TEMPERATURES
from calibench.metrics.labels import METRICS
from calibench.regimes.catalog import label
from calibench.report.experiment import Experiment
from calibench.report.html import Html, bullets, details, heading, join, listed, number, paragraph, table

NAMES = {name: head for name, (head, _, _) in METRICS.items()} | {"nll": "NLL (nats)", "brier": "Brier score"}
NAMES |= {
    "gap": "Confidence − accuracy",
    "ece_debiased": "ECE, debiased",
    "r_auc_normalised": "R-AUC, normalised",
}
PERCENT = {"top1_error", "top5_error"}
SHOWN_INTERVALS = ["top1_error", "nll", "brier", "gap"]
BAND = ["ece_null_low", "ece_null_high"]
SHOWN_STRATA = ["top1_error", "ece", "gap", "nll", "r_auc_normalised"]
FAMILIES = {
    "primary": "Comparisons named in the config, pooled over backbones and data sets",
    "secondary": "The same on each backbone",
    "hard": "Every run minus hard labels (intervals, not tests)",
    "best": "Every run minus the best of the others (Hsu's intervals)",
}
ISOTONIC = (
    "Isotonic regression can give the true class a probability of 0, which NLL counts as 1e-308: its NLL says how often "
    "that happens."
)
OPEN_ROWS = 40  # longer tables are folded


def run_label(name: str) -> str:
    """``hard@temperature`` → ``Hard labels, then temperature``."""
    run, *steps = name.split("@")
    return ", then ".join([label(run), *steps])


def shown(metric: str, value: Any, signed: bool = False) -> str:
    """A value in the unit of the tables."""
    if value is None or value != value:
        return "–"
    places, factor = (2, 100) if metric in PERCENT else (4, 1)
    return f"{value * factor:{'+' if signed else ''}.{places}f}".replace("-", "−")


def interval(metric: str, row: Any, signed: bool = False) -> str:
    """``0.12 [0.10, 0.14]``, or the value alone."""
    middle = shown(metric, row["value"], signed)
    if row["low"] != row["low"]:
        return middle
    return f"{middle} [{shown(metric, row['low'], signed)}, {shown(metric, row['high'], signed)}]"


def _read(experiment: Experiment, file: str) -> pd.DataFrame | None:
    """The rows of a file for this experiment's data sets and backbones, in the order of the config."""
    frame = experiment.frame(file)
    if frame is None:
        return None
    if "variant" in frame:
        frame["variant"] = frame["variant"].fillna("")
    frame[["dataset", "backbone"]] = frame[["dataset", "backbone"]].fillna("")
    order = {place: i for i, place in enumerate(product(experiment.datasets, experiment.backbones))}
    order |= {("", ""): -1}  # pooled over all of them
    runs = {name: i for i, name in enumerate(experiment.run_names)}
    frame["place"] = [order.get(p) for p in zip(frame["dataset"], frame["backbone"], strict=True)]
    frame["turn"] = [runs.get(r) for r in frame["regime"] + frame["variant"]] if "regime" in frame else 0
    frame = frame.dropna(subset=["place", "turn"]).sort_values(
        ["place", "turn"], kind="stable", ignore_index=True
    )
    return None if frame.empty else frame


def _place(experiment: Experiment, row: Any) -> str:
    if not row["backbone"]:
        return "All"
    name = backbone_label(row["backbone"])
    return f"{name}, {row['dataset']}" if len(experiment.datasets) > 1 else name


def _folded(rows: list[Any], title: str, body: Html) -> Html:
    return details(f"{title}: {len(rows):,} rows", body) if len(rows) > OPEN_ROWS else body


def _contrast_rows(experiment: Experiment, frame: pd.DataFrame) -> list[list[str]]:
    return [
        [
            _place(experiment, row),
            f"{run_label(row['run'])} − {run_label(row['reference'])}",
            NAMES.get(row["metric"], row["metric"]),
            interval(row["metric"], _judged(row), signed=True),
            number(row["p_holm"], 3),
            None if row["seeds"] != row["seeds"] else number(int(row["seeds"])),
            row["verdict"] if isinstance(row["verdict"], str) else None,
        ]
        for row in frame.to_dict("records")
    ]


def _judged(row: dict[str, Any]) -> dict[str, Any]:
    """The difference with the interval that its verdict was read from."""
    holm = row["low_holm"] == row["low_holm"]
    low, high = (row["low_holm"], row["high_holm"]) if holm else (row["low"], row["high"])
    return {"value": row["difference"], "low": low, "high": high}


def contrasts(experiment: Experiment) -> Html:
    """contrasts.csv: the comparisons named in the config, and every run against the best."""
    frame = _read(experiment, "contrasts.csv")
    if frame is None:
        return Html()
    level = experiment.config["statistics"]["level"]
    columns = [
        "Backbone",
        "Comparison",
        "Measure",
        f"Difference [{100 * level:g} %]",
        "p (Holm)",
        "Seeds",
        "Verdict",
    ]
    parts = [heading("Comparisons named beforehand", "contrasts")]
    text = (
        "Mean difference over seeds and backbones of paired runs. With two seeds or more the interval covers training "
        "again and the draw of test images; with one seed (verdict: one seed) the draw of images only, so it does not "
        "generalise to retraining. Negative means lower, which is better for every measure here. p values and "
        "intervals are Holm-adjusted over the comparisons of a measure. Equivalent: the whole interval is nearer to 0 "
        "than the relevant difference of the config."
    )
    parts.append(paragraph(text))
    for family, title in FAMILIES.items():
        part = frame[frame["family"] == family]
        if part.empty:
            continue
        rows = _contrast_rows(experiment, part)
        breaks = [i for i in range(1, len(rows)) if rows[i][:2] != rows[i - 1][:2]]
        body = table(columns, rows, label=title, stub=2, breaks=breaks, text_columns=[2, 6], caption=title)
        parts.append(body if family == "primary" else details(title, body))
    return join(parts)


def answer(experiment: Experiment) -> Html:
    """The outcome of the planned comparisons in a sentence for each; nothing without contrasts.csv."""
    frame = _read(experiment, "contrasts.csv")
    frame = None if frame is None else frame[frame["family"] == "primary"]
    if frame is None or frame.empty or set(frame["verdict"]) == {"one seed"}:
        return Html()  # the limits say what one seed cannot show
    texts = [
        f"{run_label(run)} against {run_label(reference)}: {_outcome(part)}."
        for (run, reference), part in frame.groupby(["run", "reference"], sort=False)
    ]
    return join(
        [paragraph("The comparisons named beforehand (lower is better in each measure):"), bullets(texts)]
    )


def _outcome(part: pd.DataFrame) -> str:
    """What the tests of one comparison say: ``lower NLL; equivalent in ECE; the rest inconclusive``."""
    found: dict[str, list[str]] = {}  # verdict → measures
    for row in part.to_dict("records"):
        found.setdefault(row["verdict"], []).append(
            NAMES.get(row["metric"], row["metric"]).partition(" (")[0]
        )
    said = [f"{word} {listed(found[word])}" for word in ("lower", "higher") if word in found]
    said += [f"equivalent in {listed(found['equivalent'])}"] if "equivalent" in found else []
    if unknown := found.get("inconclusive"):
        said.append("the rest inconclusive" if said else f"inconclusive in {listed(unknown)}")
    untested = [*found.get("one seed", []), *found.get("no test", [])]
    said += [f"untested in {listed(untested)}"] if untested else []
    return "; ".join(said)


def intervals(experiment: Experiment) -> Html:
    """intervals.csv: resampling of the test images by group, and the null band of ECE."""
    frame = _read(experiment, "intervals.csv")
    if frame is None:
        return Html()
    keys = ["dataset", "backbone", "regime", "variant", "seed"]
    rows = []
    for (dataset, backbone, regime, variant, seed), part in frame.groupby(keys, sort=False):
        found = {(r["metric"], r["kind"]): r for r in part.to_dict("records")}
        cells = [
            interval(m, found[m, "interval"]) if (m, "interval") in found else None for m in SHOWN_INTERVALS
        ]
        null = found.get(("ece", "null_groups"), found.get(("ece", "null")))
        ece = found.get(("ece", "interval"))
        band = f"{shown('ece', null['low'])} to {shown('ece', null['high'])}" if null else None
        place = _place(experiment, {"dataset": dataset, "backbone": backbone})
        rows.append(
            [
                place,
                label(regime + variant),
                str(seed),
                *cells,
                shown("ece", ece["value"]) if ece else None,
                band,
            ]
        )
    breaks = [i for i in range(1, len(rows)) if rows[i][0] != rows[i - 1][0]]
    level = f"{100 * experiment.config['statistics']['level']:g} %"
    body = table(
        ["Backbone", "Regime", "Seed", *(NAMES[m] for m in SHOWN_INTERVALS), "ECE", "ECE if calibrated"],
        rows,
        label="Intervals",
        stub=2,
        breaks=breaks,
        caption=f"Test set, {level} intervals over resampled groups of images",
        notes=[
            "Intervals cover the draw of test images for one trained network, not its training.",
            "ECE has no interval here, since resampling adds to its bias; instead the band that a "
            "perfectly calibrated "
            "network with these confidences would show. An ECE inside it is no evidence of miscalibration.",
        ],
    )
    return join([heading("Uncertainty of the numbers", "intervals"), _folded(rows, "Intervals", body)])


def _fitted(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of temperature scaling's own parameter (the ensemble has the same one)."""
    return frame[(frame["calibrator"] == "temperature") & (frame["metric"] == "temperature")]


def _temperatures(frame: pd.DataFrame, key: tuple[str, str, str]) -> str:
    """``1.31``, or ``1.24 – 1.52`` over seeds."""
    mine = (_fitted(frame)[["dataset", "backbone", "run"]] == list(key)).all(axis=1)
    values = _fitted(frame).loc[mine, "value"]
    low, high = number(values.min(), 2), number(values.max(), 2)
    return low if low == high else f"{low} – {high}"


def _bound_note(frame: pd.DataFrame) -> list[str]:
    """What to think of temperatures that the calibration half does not determine."""
    fitted = _fitted(frame)["value"]
    high = TEMPERATURES[1]
    at_high = int((fitted > 0.99 * high).sum())
    errors = frame.loc[(frame["split"] == "calibrate") & (frame["metric"] == "errors"), "value"]
    flawless = int((errors == 0).sum())
    notes = []
    if flawless:
        notes.append(
            f"{flawless} network(s) make no mistake on the calibration half, which then cannot tell how sure they may "
            "be: their fitted T is where more confidence stops to change the NLL in float64; take more images there."
        )
    if at_high:
        notes.append(
            f"{at_high} fitted temperature(s) stand at the upper bound {high:g}: on the calibration half the logits "
            "say no more than chance."
        )
    return notes


def posthoc(experiment: Experiment) -> Html:
    """posthoc.csv: ECE and NLL before and after calibrators fitted on the calibration half of validation."""
    frame = _read(experiment, "posthoc.csv")
    if frame is None:
        return Html()
    if set(frame["calibrator"]) == {"none"}:
        return paragraph(
            "No validation images were kept for fitting after training (calibrate: 0), so there is no post-hoc "
            "calibration here."
        )
    frame["run"] = frame["regime"] + frame["variant"]
    calibrators = list(dict.fromkeys(frame["calibrator"]))
    means = frame.groupby(["dataset", "backbone", "run", "split", "calibrator", "metric"], sort=False)[
        "value"
    ].mean()
    places = frame[["dataset", "backbone", "run"]].drop_duplicates().to_dict("records")
    rows = []
    for row in places:
        key = (row["dataset"], row["backbone"], row["run"])
        cells = [shown(m, means.get((*key, "test", c, m))) for c in calibrators for m in ("ece", "nll")]
        rows.append([_place(experiment, row), label(row["run"]), _temperatures(frame, key), *cells])
    breaks = [i for i in range(1, len(rows)) if rows[i][0] != rows[i - 1][0]]
    heads = {"none": "As trained", "temperature": "Temperature"}
    text = (
        "Every calibrator is fitted on the calibration half of validation and applied to the test set. "
        "Hard labels "
        "with temperature scaling are what a reader would do instead of changing the training."
    )
    body = table(
        ["Backbone", "Regime", "Fitted T", *["ECE", "NLL"] * len(calibrators)],
        rows,
        label="Post-hoc calibration",
        groups=[("", 3), *((heads.get(c, c.replace("_", " ").capitalize()), 2) for c in calibrators)],
        stub=2,
        breaks=breaks,
        caption="Test ECE (fraction) and NLL (nats) before and after calibration, mean over seeds",
        notes=[*_bound_note(frame), *([ISOTONIC] if "isotonic" in calibrators else [])],
    )
    return join([heading("After post-hoc calibration", "posthoc"), paragraph(text), body])


def strata(experiment: Experiment) -> Html:
    """strata.csv: error and calibration within each stratum, the worst in bold."""
    frame = _read(experiment, "strata.csv")
    if frame is None:
        return Html()
    frame["run"] = frame["regime"] + frame["variant"]
    frame = frame[frame["metric"].isin([*SHOWN_STRATA, *BAND])]
    keys = ["dataset", "backbone", "run", "level", "stratum"]
    rows, bold, last, breaks = [], set(), None, []
    for (dataset, backbone, run, _, stratum), part in frame.groupby(keys, sort=False):
        means = part.groupby("metric")[["value", "worst"]].mean()
        place = [_place(experiment, {"dataset": dataset, "backbone": backbone}), label(run)]
        if place != last:
            breaks.append(len(rows))
            last = place
        for j, metric in enumerate(SHOWN_STRATA):
            if metric in means.index and means.at[metric, "worst"] > 0.5:
                bold.add((len(rows), 4 + j))
        cells = [shown(m, means["value"].get(m), m == "gap") for m in SHOWN_STRATA]
        band = "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}".join(
            f"{means['value'].get(m, float('nan')):.3f}" for m in BAND
        )
        rows.append([*place, stratum, number(int(part["n"].iloc[0])), *cells, band])
    body = table(
        ["Backbone", "Regime", "Stratum", "Images", *(NAMES[m] for m in SHOWN_STRATA), "ECE if calibrated"],
        rows,
        label="Strata",
        stub=2,
        breaks=breaks,
        bold=bold,
        text_columns=[2],
        caption="Test set by stratum, mean over seeds; bold = worst (of those with 50 images or more)",
        notes=["strata.csv has every measure. An ECE inside its band is no evidence of miscalibration."],
    )
    return join([heading("By stratum", "strata"), _folded(rows, "Strata", body)])
