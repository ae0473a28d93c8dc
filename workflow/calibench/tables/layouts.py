"""Tables 1 and 2 in the paper's layout, Table 3 with the ten measures of the LS+ paper.

The published numbers stand below ours where there are any. Cells that cannot be told from the best of their
column are bold, if the stage contrasts has compared them.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from calibench.backbones.names import backbone_label
from calibench.errors import UserError
from calibench.metrics.labels import METRICS
from calibench.regimes.catalog import label
from calibench.tables.cells import Best, Key, Numbers, lines
from calibench.tables.grid import Grid

SETTINGS = ["datasets", "backbones", "runs", "seeds", "checkpoint", "published"]
TEN = ["accuracy", "auroc", "precision", "recall", "f1", "ece", "ace_top_label", "sce", "nll", "brier"]
FAR = 3  # half-widths of a column's usual interval: further from the best than that is not near it
RESCALED = "hard@temperature"  # what a reader would do instead of changing the training

Row = tuple[str, str, list[Key]]  # data set, text in the stub, the cells' keys


def _layout(
    numbers: Numbers, rows: list[Row], stubs: list[str], groups: list[tuple[str, int]], columns: list[str]
) -> Grid:
    """Assemble rows; ``stubs`` heads the leading text columns, whose texts are joined by ``|``."""
    several = len(numbers.settings["datasets"]) > 1
    body, rules, bold, last = [], set(), set(), None
    printed = [lines(numbers, keys) for _, _, keys in rows]
    sourced = any(len(block) > 1 for block in printed)
    heads = (["Data set"] if several else []) + stubs + (["Source"] if sourced else [])
    for (dataset, text, keys), block in zip(rows, printed, strict=True):
        if sourced or (several and dataset != last):
            rules.add(len(body))
        bold |= {(len(body), len(heads) + j) for j, key in enumerate(keys) if key in numbers.bold}
        for source, cells in block:
            texts = ([dataset] if several else []) + text.split("|") + ([source] if sourced else [])
            body.append(texts + cells)
        last = dataset
    grid = Grid("", heads + columns, body, len(heads), rules=rules, bold=bold, notes=numbers.notes())
    if groups:
        grid.groups = [("", len(heads)), *groups]
    if any(key in numbers.bold for _, _, keys in rows for key in keys):
        grid.notes.insert(0, _bold_note(numbers.bold, {key[3] for _, _, keys in rows for key in keys}))
    return grid


def _bold_note(best: Best, metrics: set[str]) -> str:
    """What bold means, and how much it can mean: what the tests would have seen."""
    seen = [
        f"{METRICS[m][0].partition(' (')[0]} {best.half_widths[m] * METRICS[m][1]:.{METRICS[m][2]}f}"
        + (" points" if METRICS[m][1] == 100 else "")
        for m in METRICS
        if m in metrics and m in best.half_widths
    ]
    return (
        "Bold: cannot be told from the best of its column and backbone (paired test, Holm). Usual half-width of the "
        f"tests' intervals, in the widest column: {', '.join(seen)}; a run {FAR} times as far from the best as is usual "
        "in its column is not bold, however much its seeds disagree."
    )


def _titled(grid: Grid, number: int, what: str, settings: dict[str, Any], tag: str) -> Grid:
    seeds = max(len(settings["seeds"]), 1)
    data = "" if len(settings["datasets"]) > 1 else f" on {settings['datasets'][0]}"
    spread = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    grid.title = f"Table {number}. {what}{data}, test set, checkpoint {settings['checkpoint']}, {spread}"
    grid.label = f"tab:{tag}"
    return grid


def run_label(run: str) -> str:
    """``hard@temperature`` → ``Hard labels + temperature``."""
    name, _, calibrator = run.partition("@")
    return f"{label(name)} + {calibrator}" if calibrator else label(name)


def table1(numbers: Numbers) -> Grid:
    """Table 1: backbones × regimes, Top-1 and Top-5 error in per cent."""
    settings, names = numbers.settings, ["top1_error", "top5_error"]
    rows = [
        (
            dataset,
            backbone_label(backbone),
            [(dataset, backbone, r, m) for r in settings["runs"] for m in names],
        )
        for dataset in settings["datasets"]
        for backbone in settings["backbones"]
    ]
    groups = [(label(run), 2) for run in settings["runs"]]
    columns = [METRICS[m][0] for m in names] * len(settings["runs"])
    grid = _layout(numbers, rows, ["Backbone"], groups, columns)
    five = [numbers.ours(*key) for _, _, keys in rows for key in keys if key[3] == "top5_error"]
    if any(map(len, five)) and not any(values.any() for values in five):
        grid.notes.append("Top-5 error is 0 for data of five classes or fewer, whatever the network.")
    return _titled(grid, 1, "Classification error", settings, "error")


def table2(numbers: Numbers) -> Grid:
    """Table 2: regimes × backbones, expected calibration error and average confidence as fractions.

    ``hard`` after temperature scaling follows ``hard`` where the post-hoc stage has run.
    """
    settings, names = numbers.settings, ["ece", "avg_confidence"]
    runs = [
        r
        for run in settings["runs"]
        for r in ([run, RESCALED] if run == "hard" and numbers.rescaled else [run])
    ]
    rows = [
        (dataset, run_label(run), [(dataset, b, run, m) for b in settings["backbones"] for m in names])
        for dataset in settings["datasets"]
        for run in runs
    ]
    groups = [(backbone_label(b), 2) for b in settings["backbones"]]
    columns = [METRICS[m][0] for m in names] * len(settings["backbones"])
    grid = _layout(numbers, rows, ["Method"], groups, columns)
    grid.notes.insert(0, "ECE: top label, 15 equal-width bins (Guo et al. 2017).")
    if numbers.rescaled:
        grid.notes.insert(1, "Temperature: fitted on the calibration half of validation, never on test.")
        if numbers.bold:
            grid.notes.append("Bold compares the trained regimes; temperature scaling takes no part in it.")
    return _titled(grid, 2, "Calibration", settings, "calibration")


def table3(numbers: Numbers) -> Grid:
    """Table 3: the ten measures of the LS+ paper's Table 1, backbones and regimes down."""
    settings = numbers.settings
    rows = [
        (dataset, f"{backbone_label(b)}|{label(run)}", [(dataset, b, run, m) for m in TEN])
        for dataset in settings["datasets"]
        for b in settings["backbones"]
        for run in settings["runs"]
    ]
    grid = _layout(numbers, rows, ["Backbone", "Method"], [], [METRICS[m][0] for m in TEN])
    grid.notes.insert(
        0, "AUROC, precision, recall, F1: macro over classes. AUROC is undefined if a class is absent."
    )
    return _titled(grid, 3, "Performance and calibration", settings, "measures")


def check_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Check what the tables read; seeds may be empty (any), published may be null.

    Raises:
        UserError: if a key is missing, unknown or an empty list.
    """
    if set(settings) != set(SETTINGS):
        raise UserError(f"--settings must be an object with exactly the keys {', '.join(SETTINGS)}")
    for key in ["datasets", "backbones", "runs"]:
        if not settings[key]:
            raise UserError(f"--settings: {key} is empty; a table needs at least one")
    return settings


def best_cells(path: Path | None) -> Best:
    """Keys of the cells that cannot be told from the best, from contrasts.csv; the best itself included.

    A column without a test (one seed) has none: then nothing may be called best. A run whose seeds disagree so much
    that no test can tell it from anything is left out where it lies :data:`FAR` usual half-widths away.
    """
    found: set[Key] = set()
    halves: dict[str, float] = {}
    frame = pd.read_csv(path, keep_default_na=False) if path else pd.DataFrame(columns=["family", "metric"])
    frame = frame[frame["family"] == "best"]
    frame = frame[frame["split"] == "test"] if "split" in frame else frame
    for metric, rows in frame.groupby("metric"):
        for (dataset, backbone), part in rows.groupby(["dataset", "backbone"]):
            if set(part["verdict"]) & {"one seed", "no test"}:
                continue
            number = part[["difference", "low", "high"]].astype(float)
            half = float((number["high"] - number["low"]).median() / 2)
            halves[metric] = max(half, halves.get(metric, 0.0))
            near = (part["verdict"] == "not told apart") & (number["difference"].abs() <= FAR * half)
            runs = [part["reference"].iloc[0], *part.loc[near, "run"]]
            found |= {(dataset, backbone, run, metric) for run in runs}
    return Best(frozenset(found), halves)


LAYOUTS = {"table1": table1, "table2": table2, "table3": table3}
