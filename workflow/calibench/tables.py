"""Stage: Tables 1 and 2 in the paper's layout, with the published numbers beside ours where there are any."""

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from calibench.catalog import label
from calibench.cli import run as run_stage
from calibench.errors import UserError
from calibench.files import write_text
from calibench.plots.grid import EMPTY, Grid, to_csv, to_markdown, to_tex

BACKBONES = {
    "resnet18": "ResNet-18",
    "resnet34": "ResNet-34",
    "resnet50": "ResNet-50",
    "resnet101": "ResNet-101",
    "mobilenet_v2": "MobileNetV2",
    "vgg19": "VGG-19",
    "vgg19_bn": "VGG-19 (BN)",
    "densenet121": "DenseNet-121",
}
PUBLISHED_AS = {"vgg19_bn": "vgg19"}  # the paper does not say with or without batch norm
SETTINGS = ["datasets", "backbones", "runs", "seeds", "checkpoint", "published"]
METRICS = {  # header, factor, decimals
    "top1_error": ("Top-1 error (%)", 100, 2),
    "top5_error": ("Top-5 error (%)", 100, 2),
    "ece": ("ECE", 1, 4),
    "avg_confidence": ("Average confidence", 1, 4),
}


def backbone_label(name: str) -> str:
    """``resnet50`` → ``ResNet-50``; an unknown backbone keeps its name."""
    return BACKBONES.get(name, name)


@dataclass(frozen=True)
class Published:
    """Printed numbers of one paper: ``cells`` maps (dataset, backbone, regime, metric) to printed text."""

    paper: str
    cells: dict[tuple[str, str, str, str], str]

    def datasets(self) -> list[str]:
        """The paper's data sets."""
        return sorted({key[0] for key in self.cells})


def read_published(paths: Sequence[Path], name: str | None) -> Published | None:
    """The file called ``name``.csv among ``paths``; None when the settings ask for none.

    Raises:
        UserError: if it is not there or lacks a column.
    """
    if not name:
        return None
    matches = [path for path in paths if path.stem == name]
    if not matches:
        known = ", ".join(sorted(path.stem for path in paths)) or "none"
        raise UserError(f"published: {name!r} is no file of config/published (there: {known})")
    frame = pd.read_csv(matches[0], dtype=str, keep_default_na=False)
    missing = {"paper", "dataset", "backbone", "regime", "metric", "value", "unit"} - set(frame.columns)
    if missing:
        raise UserError(f"{matches[0]} lacks the column(s) {', '.join(sorted(missing))}")
    cells: dict[tuple[str, str, str, str], str] = {}
    for row in frame.to_dict("records"):
        key = (row["dataset"], row["backbone"], row["regime"], row["metric"])
        cells.setdefault(
            key, row["value"]
        )  # a paper may print a copied baseline before its own: the first stays
    return Published(frame["paper"].iloc[0], cells)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


class Numbers:
    """Looks up cells: ours over seeds, and the published ones.

    Args:
        metrics: the long table of an experiment (columns of :data:`calibench.evaluate.COLUMNS`).
        settings: see :func:`check_settings`.
        published: of :func:`read_published`.
    """

    def __init__(self, metrics: pd.DataFrame, settings: dict[str, Any], published: Published | None) -> None:
        self.settings, self.published, self.partial = settings, published, {}
        rows = metrics[(metrics["split"] == "test") & (metrics["checkpoint"] == settings["checkpoint"])]
        if settings["seeds"]:
            rows = rows[rows["seed"].isin(settings["seeds"])]
        runs = rows["regime"] + rows["variant"]
        keys = [rows["dataset"], rows["backbone"], runs, rows["metric"]]
        if rows.assign(run=runs).duplicated(["dataset", "backbone", "run", "metric", "seed"]).any():
            raise UserError("the metrics table holds the same run, seed and metric twice; collect it again")
        self.values = {key: group.to_numpy() for key, group in rows["value"].groupby(keys)}

    def ours(self, dataset: str, backbone: str, run: str, metric: str) -> np.ndarray:
        """Values over seeds, (S,) with S = 0 when there are none; remembers what is missing."""
        values = self.values.get((dataset, backbone, run, metric), np.empty(0))
        asked = max(len(self.settings["seeds"]), 1)
        if len(values) < asked:
            self.partial[dataset, backbone, run] = (len(values), asked)
        return values

    def theirs(self, dataset: str, backbone: str, run: str, metric: str) -> str | None:
        """The printed text, if the paper has this cell for a data set of this name."""
        if self.published is None:
            return None
        for name in self.published.datasets():
            if _plain(dataset).startswith(_plain(name)):
                key = (name, PUBLISHED_AS.get(backbone, backbone), run, metric)
                return self.published.cells.get(key)
        return None

    def notes(self) -> list[str]:
        """What is missing or must be known to read the table."""
        notes = []
        for (dataset, backbone, run), (have, asked) in sorted(self.partial.items()):
            what = f"{dataset}, {backbone_label(backbone)}, {label(run)}"
            notes.append(f"Partial: {have} of {asked} seeds for {what}." if have else f"Missing: {what}.")
        if self.published is not None:
            names = self.published.datasets()
            if any(_plain(d).startswith(_plain(n)) for d in self.settings["datasets"] for n in names):
                notes.append(
                    f"Published: {self.published.paper} on {', '.join(names)}, as printed; "
                    "difference = ours − published; meaningful only on the same data, split and sampling."
                )
            else:
                notes.append(
                    f"Published numbers of {self.published.paper} are for {', '.join(names)}; "
                    "no data set of this experiment has that name, so none are shown."
                )
        return notes


def show(values: np.ndarray, metric: str) -> str:
    """``24.27`` or, over several seeds, ``24.27 ± 0.31`` (sample standard deviation)."""
    _, factor, places = METRICS[metric]
    if not len(values):
        return EMPTY
    mean = f"{values.mean() * factor:.{places}f}"
    return f"{mean} ± {values.std(ddof=1) * factor:.{places}f}" if len(values) > 1 else mean


def difference(values: np.ndarray, printed: str | None, metric: str) -> str:
    """Ours − published in the printed unit, signed; a dash where either is missing."""
    _, factor, places = METRICS[metric]
    if not len(values) or printed is None:
        return EMPTY
    text = f"{values.mean() * factor - float(printed):+.{places}f}"
    return text.replace("-", "−")


def lines(numbers: Numbers, keys: list[tuple[str, str, str, str]]) -> list[tuple[str, list[str]]]:
    """The printed lines of one row of cells: ours, and below it published and difference where they exist."""
    ours = [numbers.ours(*key) for key in keys]
    theirs = [numbers.theirs(*key) for key in keys]
    metrics = [key[3] for key in keys]
    out = [("ours", [show(v, m) for v, m in zip(ours, metrics, strict=True)])]
    if any(t is not None for t in theirs):
        paper = numbers.published.paper if numbers.published else ""
        out.append((f"published ({paper})", [EMPTY if t is None else t for t in theirs]))
        delta = [difference(v, t, m) for v, t, m in zip(ours, theirs, metrics, strict=True)]
        out.append(("difference", delta))
    return out


def _layout(
    numbers: Numbers,
    rows: list[tuple[str, str, list[tuple[str, str, str, str]]]],
    stub: str,
    groups: list[tuple[str, int]],
    columns: list[str],
) -> Grid:
    """Assemble (dataset, stub text, keys of the cells) rows; the stub text is printed once per block."""
    several = len(numbers.settings["datasets"]) > 1
    body, rules, last = [], set(), None
    printed = [lines(numbers, keys) for _, _, keys in rows]
    sourced = any(len(block) > 1 for block in printed)
    for (dataset, text, _), block in zip(rows, printed, strict=True):
        if sourced or (several and dataset != last):
            rules.add(len(body))
        for source, cells in block:
            stubs = ([dataset] if several else []) + [text] + ([source] if sourced else [])
            body.append(stubs + cells)
        last = dataset
    heads = (["Data set"] if several else []) + [stub] + (["Source"] if sourced else [])
    return Grid(
        title="",
        columns=heads + columns,
        groups=[("", len(heads)), *groups],
        rows=body,
        rules=rules,
        stub=len(heads),
    )


def _about(settings: dict[str, Any]) -> str:
    seeds = max(len(settings["seeds"]), 1)
    data = "" if len(settings["datasets"]) > 1 else f" on {settings['datasets'][0]}"
    spread = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    return f"{data}, test set, checkpoint {settings['checkpoint']}, {spread}"


def table1(metrics: pd.DataFrame, settings: dict[str, Any], published: Published | None) -> Grid:
    """Table 1: backbones × regimes, Top-1 and Top-5 error in per cent."""
    numbers = Numbers(metrics, settings, published)
    names = ["top1_error", "top5_error"]
    rows = [
        (
            dataset,
            backbone_label(backbone),
            [(dataset, backbone, r, m) for r in settings["runs"] for m in names],
        )
        for dataset in settings["datasets"]
        for backbone in settings["backbones"]
    ]
    heads = [METRICS[m][0] for m in names]
    grid = _layout(
        numbers, rows, "Backbone", [(label(r), 2) for r in settings["runs"]], heads * len(settings["runs"])
    )
    grid.title, grid.label = f"Table 1. Classification error{_about(settings)}", "tab:error"
    grid.notes = numbers.notes()
    return grid


def table2(metrics: pd.DataFrame, settings: dict[str, Any], published: Published | None) -> Grid:
    """Table 2: regimes × backbones, expected calibration error and average confidence as fractions."""
    numbers = Numbers(metrics, settings, published)
    names = ["ece", "avg_confidence"]
    rows = [
        (dataset, label(run), [(dataset, b, run, m) for b in settings["backbones"] for m in names])
        for dataset in settings["datasets"]
        for run in settings["runs"]
    ]
    heads = [METRICS[m][0] for m in names]
    groups = [(backbone_label(b), 2) for b in settings["backbones"]]
    grid = _layout(numbers, rows, "Method", groups, heads * len(settings["backbones"]))
    grid.title, grid.label = f"Table 2. Calibration{_about(settings)}", "tab:calibration"
    grid.notes = ["ECE: top label, 15 equal-width bins (Guo et al. 2017).", *numbers.notes()]
    return grid


def check_settings(text: str) -> dict[str, Any]:
    """Parse the stage's settings; seeds may be empty (any), published may be null.

    Raises:
        UserError: if it is no JSON object or a key is missing, unknown or an empty list.
    """
    try:
        settings = json.loads(text)
    except ValueError as error:
        raise UserError(f"--settings is not JSON: {error}") from error
    if not isinstance(settings, dict) or set(settings) != set(SETTINGS):
        raise UserError(f"--settings must be an object with exactly the keys {', '.join(SETTINGS)}")
    for key in ["datasets", "backbones", "runs"]:
        if not settings[key]:
            raise UserError(f"--settings: {key} is empty; a table needs at least one")
    return settings


def read_metrics(path: Path) -> pd.DataFrame:
    """Read a long table; text columns stay text (an empty variant is '').

    Raises:
        UserError: if it is missing or lacks a column.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; run `python -m calibench.collect` first")
    text = dict.fromkeys(["dataset", "backbone", "regime", "variant", "split", "checkpoint", "metric"], str)
    frame = pd.read_csv(path, dtype=text, keep_default_na=False, na_values={"value": ["", "nan"]})
    missing = {*text, "seed", "value", "n"} - set(frame.columns)
    if missing:
        raise UserError(f"{path} lacks the column(s) {', '.join(sorted(missing))}; collect it again")
    return frame


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = argparse.ArgumentParser(prog="calibench.tables", description=__doc__)
    parser.add_argument("--metrics", type=Path, required=True, help="collected metrics.csv of the experiment")
    parser.add_argument("--settings", required=True, help=f"JSON object with {', '.join(SETTINGS)}")
    parser.add_argument("--published", type=Path, nargs="*", default=[], help="files of config/published")
    parser.add_argument(
        "--out-dir", type=Path, required=True, help="folder for table1 and table2 (.csv, .md, .tex)"
    )
    args = parser.parse_args(argv)
    settings = check_settings(args.settings)
    metrics = read_metrics(args.metrics)
    published = read_published(args.published, settings["published"])
    for name, layout in {"table1": table1, "table2": table2}.items():
        grid = layout(metrics, settings, published)
        for suffix, write in {"csv": to_csv, "md": to_markdown, "tex": to_tex}.items():
            write_text(args.out_dir / f"{name}.{suffix}", write(grid))


if __name__ == "__main__":
    run_stage(main)
