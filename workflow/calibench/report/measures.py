"""Tables of numbers: what was measured, over seeds, per network, per stratum and after post-hoc calibration."""

from itertools import product
from typing import Any

import pandas as pd

from calibench.backbones.names import backbone_label
from calibench.calibrators.temperature import TEMPERATURES
from calibench.metrics.labels import BROUGHT
from calibench.regimes.catalog import label
from calibench.report import words
from calibench.report.experiment import Experiment
from calibench.tables.grid import Grid
from calibench.tables.layouts import LAYOUTS, of_config

FURTHER = ["gap", "ece_debiased", "smooth_ece", "ace", "balanced_accuracy", *BROUGHT]
SELECTIVE = ["r_auc", "r_auc_normalised", "aurc", "coverage_at_5", "confidence_right", "confidence_wrong"]
RESAMPLED = ["top1_error", "nll", "brier", "gap"]
BY_STRATUM = ["top1_error", "ece", "gap", "nll", "r_auc_normalised"]


def grid(x: Experiment, name: str) -> Grid | None:
    """Table 1, 2 or 3, or one that the config describes; None without numbers for it."""
    layouts = {layout["name"]: layout for layout in x.config["tables"]["layouts"]}
    numbers = x.numbers(layouts.get(name))
    if numbers is None or (name == "table3" and "auroc" not in set(x.metrics["metric"])):
        return None
    return of_config(numbers, layouts[name]) if name in layouts else LAYOUTS[name](numbers)


def latex(x: Experiment) -> list[tuple[str, str]]:
    """(file, text) of the tables as LaTeX."""
    return [(path.name, path.read_text("utf-8")) for path in sorted((x.folder / "tables").glob("*.tex"))]


def over_seeds(x: Experiment, metrics: list[str]) -> list[list[str]]:
    """Place, run and each measure as mean ± standard deviation over seeds; nothing where none was measured."""
    numbers = x.numbers()
    if numbers is None or not set(metrics) & set(x.metrics["metric"]):
        return []
    rows = []
    for place, run in product(x.places, x.run_names):
        cells = [words.over_seeds(m, numbers.ours(*place, run, m), x.tested(place[0])) for m in metrics]
        rows.append([x.where(*place), label(run), *cells])
    return rows


def intervals(x: Experiment) -> list[list[str]]:
    """Place, run, seed, :data:`RESAMPLED` with intervals over images, ECE, the band of a calibrated network."""
    rows = []
    for head, part, n in x.parts("intervals.csv", "seed"):
        found = {(row.metric, row.kind): row for row in part.itertuples()}
        shown = {m: found[m, "interval"] for m in [*RESAMPLED, "ece"] if (m, "interval") in found}
        cells = [words.interval(m, r.value, r.low, r.high, n, False) for m, r in shown.items()]
        null = found.get(("ece", "null_groups"), found.get(("ece", "null")))
        rows.append([*head, *cells, band(null.low, null.high, n)])
    return rows


def band(low: Any, high: Any, n: int | None) -> str:
    """``0.010 to 0.034``."""
    if words.missing(high):
        return words.EMPTY
    return words.NO_BREAK.join([words.measured("ece", low, n), "to", words.measured("ece", high, n)])


def posthoc(x: Experiment) -> list[list[str]] | None:
    """Place, run, map, temperature, ECE, its band, networks in it, NLL, networks made worse before and on test; means.

    None where posthoc.csv is missing; empty where no images were kept to fit on.
    """
    frame = x.frame("posthoc.csv")
    if frame is None:
        return None
    if set(frame["calibrator"]) == {"none"}:
        return []
    rows = []
    for head, part, n in x.parts("posthoc.csv", "calibrator"):
        test = part[part["split"] == "test"].pivot_table("value", "seed", "metric", dropna=False)
        fitted = part[(part["metric"] == "temperature") & (part["calibrator"] == "temperature")]["value"]
        low, high = (
            test.get(f"ece_null_groups_{end}", test.get(f"ece_null_{end}")) for end in ("low", "high")
        )
        inside = [words.EMPTY] * 2
        if high is not None:
            inside = [band(low.mean(), high.mean(), n), f"{int((test['ece'] <= high).sum())} of {len(test)}"]
        ece, nll = (words.measured(m, test[m].mean(), n) for m in ("ece", "nll"))
        worse = part[part["metric"] == "worse"].groupby("split")["value"].sum().reindex(["calibrate", "test"])
        told = [f"{count:.0f} of {len(test)}" if count > 0 else words.EMPTY for count in worse]
        rows.append([*head, spread(fitted), ece, *inside, nll, *told])
    return rows


def spread(values: pd.Series) -> str:
    """``1.31``, or ``1.24 – 1.52``."""
    if not len(values):
        return words.EMPTY
    low, high = words.number(values.min(), 2), words.number(values.max(), 2)
    return low if low == high else f"{low} – {high}"


def unbounded(x: Experiment) -> dict[str, int]:
    """Networks whose temperature the calibration half does not determine: ``flawless`` and ``at_limit``."""
    frame = x.frame("posthoc.csv")
    if frame is None:
        return {"flawless": 0, "at_limit": 0}
    fitted = frame[(frame["calibrator"] == "temperature") & (frame["metric"] == "temperature")]["value"]
    errors = frame.loc[(frame["split"] == "calibrate") & (frame["metric"] == "errors"), "value"]
    return {"flawless": int((errors == 0).sum()), "at_limit": int((fitted > 0.99 * TEMPERATURES[1]).sum())}


def strata(x: Experiment) -> list[list[str]]:
    """Place, run, stratum, images, :data:`BY_STRATUM` and the band of ECE; means over seeds. ``▲`` marks the worst."""
    rows = []
    for (*head, _, stratum), part, _ in x.parts("strata.csv", "level", "stratum"):
        means, n = part.groupby("metric")[["value", "worst"]].mean(), int(part["n"].iloc[0])
        values, worst = means["value"], means["worst"] > 0.5
        cells = [
            words.measured(m, values.get(m), n) + f"{words.NO_BREAK}▲" * bool(worst.get(m))
            for m in BY_STRATUM
        ]
        ends = (values.get("ece_null_low"), values.get("ece_null_high"))
        rows.append([*head, stratum, words.number(n), *cells, band(*ends, n)])
    return rows


def plain(x: Experiment, file: str) -> dict[str, Any]:
    """Any long table: ``columns``, ``rows``, and the ``same`` columns, which never change, with their value."""
    frame = x.frame(file)
    if frame is None:
        return {"columns": [], "rows": [], "same": {}, "stub": 1}
    frame = frame.assign(backbone=list(map(backbone_label, frame["backbone"])))
    frame.insert(2, "run", [label(name) for name in frame["name"]], allow_duplicates=False)
    frame = frame.drop(columns=["regime", "variant", "name"], errors="ignore")
    fixed = [c for c in frame if len(frame) > 1 and frame[c].nunique(dropna=False) == 1]
    same = {c: words.number(frame[c].iloc[0]) for c in fixed}
    frame = frame.drop(columns=fixed)
    stub = max(1, len({"dataset", "backbone", "run"} & set(frame)))
    rows = [[words.number(value) for value in row] for row in frame.itertuples(index=False)]
    return {"columns": [str(c).replace("_", " ") for c in frame], "rows": rows, "same": same, "stub": stub}
