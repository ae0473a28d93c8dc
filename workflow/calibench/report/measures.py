"""Tables of numbers: what was measured, over seeds, per network, per stratum and after post-hoc calibration."""

from typing import Any

import numpy as np
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
    return [
        (path.name, path.read_text(encoding="utf-8")) for path in sorted((x.folder / "tables").glob("*.tex"))
    ]


def over_seeds(x: Experiment, metrics: list[str]) -> list[list[str]]:
    """Place, run and each measure as mean ± standard deviation over seeds; nothing where none was measured."""
    numbers = x.numbers()
    if numbers is None or not set(metrics) & set(x.metrics["metric"]):
        return []
    return [
        [
            x.where(d, b),
            label(run),
            *(words.over_seeds(m, numbers.ours(d, b, run, m), x.tested(d)) for m in metrics),
        ]
        for d, b in x.places
        for run in x.run_names
    ]


def intervals(x: Experiment) -> list[list[str]]:
    """Place, run, seed, :data:`RESAMPLED` with intervals over images, ECE, the band of a calibrated network."""
    frame = x.frame("intervals.csv")
    if frame is None:
        return []
    rows = []
    for (dataset, backbone, name, seed), part in frame.groupby(
        ["dataset", "backbone", "name", "seed"], sort=False
    ):
        n = x.tested(dataset)
        found = {(row.metric, row.kind): row for row in part.itertuples()}
        shown = [found.get((metric, "interval")) for metric in RESAMPLED]
        cells = [
            words.interval(m, r.value, r.low, r.high, n, False) if r else words.EMPTY
            for m, r in zip(RESAMPLED, shown, strict=True)
        ]
        null, ece = (
            found.get(("ece", "null_groups"), found.get(("ece", "null"))),
            found.get(("ece", "interval")),
        )
        cells.append(words.measured("ece", ece.value, n) if ece else words.EMPTY)
        cells.append(band(null.low, null.high, n) if null else words.EMPTY)
        rows.append([x.where(dataset, backbone), label(name), str(seed), *cells])
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
    for (dataset, backbone, name, calibrator), part in frame.groupby(
        ["dataset", "backbone", "name", "calibrator"], sort=False
    ):
        test = part[part["split"] == "test"].pivot_table("value", "seed", "metric", dropna=False)
        n = x.tested(dataset)
        fitted = part[(part["metric"] == "temperature") & (part["calibrator"] == "temperature")]["value"]
        low, high = (
            test.get(f"ece_null_groups_{end}", test.get(f"ece_null_{end}")) for end in ("low", "high")
        )
        inside = [words.EMPTY] * 2
        if high is not None:
            inside = [band(low.mean(), high.mean(), n), f"{int((test['ece'] <= high).sum())} of {len(test)}"]
        worse = part[part["metric"] == "worse"].groupby("split")["value"].sum()
        cells = [
            words.measured("ece", test["ece"].mean(), n),
            *inside,
            words.measured("nll", test["nll"].mean(), n),
        ]
        cells += [
            f"{int(worse[s])} of {len(test)}" if worse.get(s) else words.EMPTY for s in ("calibrate", "test")
        ]
        rows.append([x.where(dataset, backbone), label(name), calibrator, spread(fitted), *cells])
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
    frame = x.frame("strata.csv")
    if frame is None:
        return []
    rows = []
    for (dataset, backbone, name, _, stratum), part in frame.groupby(
        ["dataset", "backbone", "name", "level", "stratum"], sort=False
    ):
        means, n = part.groupby("metric")[["value", "worst"]].mean(), int(part["n"].iloc[0])
        cells = [
            words.measured(m, means["value"].get(m), n)
            + ("\N{NO-BREAK SPACE}▲" if means["worst"].get(m, 0) > 0.5 else "")
            for m in BY_STRATUM
        ]
        ends = [means["value"].get(f"ece_null_{end}", np.nan) for end in ("low", "high")]
        rows.append(
            [x.where(dataset, backbone), label(name), stratum, words.number(n), *cells, band(*ends, n)]
        )
    return rows


def plain(x: Experiment, file: str) -> dict[str, Any]:
    """Any long table: ``columns``, ``rows``, and the ``same`` columns, which never change, with their value."""
    frame = x.frame(file)
    if frame is None:
        return {"columns": [], "rows": [], "same": {}, "stub": 1}
    frame = frame.assign(backbone=list(map(backbone_label, frame["backbone"])))
    frame.insert(2, "run", [label(name) for name in frame["name"]], allow_duplicates=False)
    frame = frame.drop(columns=["regime", "variant", "name"], errors="ignore")
    same = {
        c: words.number(frame[c].iloc[0])
        for c in frame
        if len(frame) > 1 and frame[c].nunique(dropna=False) == 1
    }
    frame = frame.drop(columns=list(same))
    stub = max(1, len({"dataset", "backbone", "run"} & set(frame)))
    rows = [[words.number(value) for value in row] for row in frame.itertuples(index=False)]
    return {"columns": [str(c).replace("_", " ") for c in frame], "rows": rows, "same": same, "stub": stub}
