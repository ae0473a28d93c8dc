"""Tables 1 and 2 in the layout of the paper, Table 3 with the ten measures of the LS+ paper, and tables of a config.

Published numbers are below ours if there are any. No number is bold: contrasts.csv says which differences are more
than chance.
"""

from typing import Any

from calibench.errors import UserError
from calibench.metrics.labels import METRICS
from calibench.published import printed_file
from calibench.published.printed import Published, read_published
from calibench.tables.arrange import Arranged, arrange, dimensions
from calibench.tables.cells import Numbers, lines
from calibench.tables.grid import EMPTY, Grid

SETTINGS = ["datasets", "backbones", "runs", "seeds", "checkpoint", "published"]
OPTIONAL = {"layouts": [], "snapshots": [], "sets": []}
TEN = ["accuracy", "auroc", "precision", "recall", "f1", "ece", "ace_top_label", "sce", "nll", "brier"]
RESCALED = "hard@temperature"  # the usual alternative to another training

TABLE1 = {"rows": "backbone", "columns": ["run", "measure"], "measures": ["top1_error", "top5_error"]}
TABLE2 = {"rows": "run", "columns": ["backbone", "measure"], "measures": ["ece", "avg_confidence"]}
TABLE3 = {"rows": ["backbone", "run"], "columns": "measure", "measures": TEN}


def _layout(numbers: Numbers, arranged: Arranged) -> Grid:
    """Assemble rows; a row without any number is left out."""
    several = len({dataset for dataset, _, _ in arranged.rows}) > 1
    body, rules, last = [], set(), None
    blocks = [(*row[:2], lines(numbers, row[2])) for row in arranged.rows]
    printed_only = [{cell for _, cells in block for cell in cells} == {EMPTY} for _, _, block in blocks]
    if not all(printed_only):
        blocks = [block for block, empty in zip(blocks, printed_only, strict=True) if not empty]
    sourced = any(len(block) > 1 for _, _, block in blocks)
    heads = (["Data set"] if several else []) + arranged.stubs + (["Source"] if sourced else [])
    for dataset, text, block in blocks:
        if sourced or (several and dataset != last):
            rules.add(len(body))
        for source, cells in block:
            texts = ([dataset] if several else []) + text.split("|") + ([source] if sourced else [])
            body.append(texts + cells)
        last = dataset
    grid = Grid("", heads + arranged.columns, body, len(heads), rules=rules, notes=numbers.notes())
    if arranged.groups:
        grid.groups = [("", len(heads)), *arranged.groups]
    return grid


def _titled(grid: Grid, what: str, settings: dict[str, Any], tag: str, tested: str = "test set") -> Grid:
    seeds = max(len(settings["seeds"]), 1)
    data = "" if len(settings["datasets"]) > 1 else f" on {settings['datasets'][0]}"
    spread = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    grid.title = f"{what}{data}, {tested}, checkpoint {settings['checkpoint']}, {spread}"
    grid.label = f"tab:{tag}"
    return grid


def table1(numbers: Numbers) -> Grid:
    """Table 1: backbones × regimes, Top-1 and Top-5 error in per cent."""
    arranged = arrange(TABLE1, numbers.settings)
    grid = _layout(numbers, arranged)
    five = [numbers.ours(*key) for _, _, keys in arranged.rows for key in keys if key[3] == "top5_error"]
    if any(map(len, five)) and not any(values.any() for values in five):
        grid.notes.append("Top-5 error is 0 for any network if the data has at most five classes.")
    return _titled(grid, "Table 1. Classification error", numbers.settings, "error")


def table2(numbers: Numbers) -> Grid:
    """Table 2: regimes × backbones, expected calibration error and average confidence as fractions.

    ``hard`` is followed by ``hard`` after temperature scaling if that was computed.
    """
    runs = list(numbers.settings["runs"])
    if "hard" in runs and numbers.rescaled:
        runs.insert(runs.index("hard") + 1, RESCALED)
    grid = _layout(numbers, arrange(TABLE2 | {"order": {"run": runs}}, numbers.settings))
    grid.notes.insert(0, "ECE: top label, 15 equal-width bins (Guo et al. 2017).")
    if numbers.rescaled:
        grid.notes.insert(1, "Temperature: fitted on the part calibrate of validation, never on test.")
    return _titled(grid, "Table 2. Calibration", numbers.settings, "calibration")


def table3(numbers: Numbers) -> Grid:
    """Table 3: the ten measures of Table 1 in the LS+ paper, with backbones and regimes in the rows."""
    grid = _layout(numbers, arrange(TABLE3, numbers.settings))
    note = "AUROC, precision, recall, F1: macro over classes. AUROC is undefined if a class has no images."
    grid.notes.insert(0, note)
    return _titled(grid, "Table 3. Performance and calibration", numbers.settings, "measures")


def published_for(paper: str | None, layout: dict[str, Any]) -> Published | None:
    """The printed numbers for a table of the configuration."""
    return read_published(printed_file(paper), layout.get("printed")) if paper else None


def of_config(numbers: Numbers, layout: dict[str, Any]) -> Grid:
    """A table of ``tables.layouts`` (:mod:`calibench.tables.arrange`)."""
    grid = _layout(numbers, arrange(layout, numbers.settings))
    measures = layout["measures"]
    alone = f", {METRICS[measures[0]][0]}" if len(measures) == 1 else ""
    title = layout.get("title") or f"Table {layout['name']}"
    tested = "evaluation sets" if any("set" in names for names in dimensions(layout)) else "test set"
    return _titled(grid, f"{title}{alone}", numbers.settings, layout["name"], tested)


def check_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The complete settings of the stage; seeds may be empty (all), published may be null.

    UserError if a key is missing, unknown or an empty list.
    """
    settings = OPTIONAL | settings
    if set(settings) != {*SETTINGS, *OPTIONAL}:
        raise UserError(
            f"--settings must be an object with the keys {', '.join(SETTINGS)}, optionally {', '.join(OPTIONAL)}"
        )
    for key in ["datasets", "backbones", "runs"]:
        if not settings[key]:
            raise UserError(f"--settings: {key} is empty; a table needs at least one")
    return settings


LAYOUTS = {"table1": table1, "table2": table2, "table3": table3}
