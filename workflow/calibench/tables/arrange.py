"""The layout of a table: a description of rows and columns, turned into the keys of its cells.

A description is ``{rows, columns, measures, order}`` (``tables.layouts`` in a config). Rows and columns are lists of
dimensions, the outermost first:

- ``dataset``, ``backbone``, ``measure``, ``run`` (``ols+noise20``, ``hard@temperature``, ``ols@snapshots6``),
- or a group of variants, such as ``noise`` for noise20 and noise40: a run is then split into its variant of the group
  and the rest, ``regime``. ``snapshots`` is the group of ensembles of epochs, ``set`` that of evaluation sets
  (``ols@fgsm`` is OLS on ``test@fgsm``).

``order`` lists the values of any dimension in order; by default the order is that of the experiment.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from calibench.backbones.names import backbone_label
from calibench.metrics.labels import METRICS
from calibench.regimes.catalog import label

PLAIN = ("dataset", "backbone", "run", "regime", "measure")
HEADS = {"dataset": "Data set", "run": "Method", "regime": "Method"}  # all others: the dimension, capitalised
DERIVED = ("snapshots", "set")  # groups of names after the @ of a run
# heads for runs without a variant of the group; by default "no <group>"
NONE = {"snapshots": "one model", "set": "test"}

Key = tuple[str, str, str, str]  # data set, backbone, run (`regime+variant` or `run@calibrator`), measure
Row = tuple[str, str, list[Key]]  # data set, text of the first columns, keys of the cells


@dataclass(frozen=True)
class Arranged:
    """Rows with their keys, heads of the first text columns, and the two lines of heads above the cells."""

    rows: list[Row]
    stubs: list[str]
    groups: list[tuple[str, int]]
    columns: list[str]


def run_label(run: str) -> str:
    """``hard@temperature`` → ``Hard labels + temperature``; ``ols - hard`` → ``OLS - Hard labels``."""
    if " - " in run:
        return " - ".join(map(run_label, run.split(" - ")))
    name, _, derived = run.partition("@")
    return f"{label(name)} + {derived}" if derived else label(name)


def split_run(run: str, groups: list[str]) -> dict[str, str]:
    """A run split into regime and groups of variants.

    >>> split_run("ols+cutmix+noise20", ["noise"])
    {'regime': 'ols+cutmix', 'noise': 'noise20'}
    """
    name, _, derived = run.partition("@")
    found, rest = dict.fromkeys(groups, ""), []
    for token in name.split("+"):
        group = next((g for g in groups if rest and re.fullmatch(rf"{g}[0-9._]*", token)), None)
        if group:
            found[group] = token
        else:
            rest.append(token)
    group = next((g for g in DERIVED if g in groups), None)
    if derived and group:
        found[group], derived = derived, ""
    return {"regime": "+".join(rest) + (f"@{derived}" if derived else ""), **found}


def join_run(parts: dict[str, str], groups: list[str]) -> str:
    """The inverse of :func:`split_run`."""
    variants = [parts[g] for g in groups if g not in DERIVED and parts[g]]
    derived = [f"@{parts[g]}" for g in DERIVED if parts.get(g)]
    return "+".join([parts["regime"], *variants]) + "".join(derived)


def _text(dimension: str, value: str) -> str:
    if dimension == "backbone":
        return backbone_label(value)
    if dimension in ("run", "regime"):
        return run_label(value)
    if dimension == "measure":
        return METRICS[value][0]
    if dimension == "dataset":
        return value
    if dimension == "set" and value:
        return value
    return f"{dimension} {value.removeprefix(dimension)}" if value else NONE.get(dimension, f"no {dimension}")


def dimensions(layout: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The dimensions of rows and of columns; a single name means a list of one."""
    both = (layout["rows"], layout["columns"])
    rows, columns = ([item] if isinstance(item, str) else list(item) for item in both)
    if "measure" not in rows + columns and len(layout["measures"]) > 1:
        columns.append("measure")
    return rows, columns


def _values(layout: dict[str, Any], settings: dict[str, Any], groups: list[str]) -> dict[str, list[str]]:
    """Values of every dimension, in order."""
    runs = [*settings["runs"]]
    if "snapshots" in groups:
        runs += [f"{run}@snapshots{n}" for run in settings["runs"] for n in settings.get("snapshots", [])]
    if "set" in groups:
        runs += [f"{run}@{name}" for run in settings["runs"] for name in settings.get("sets", [])]
    parsed = [split_run(run, groups) for run in runs]
    found = {
        "dataset": settings["datasets"],
        "backbone": settings["backbones"],
        "run": runs,
        "measure": layout["measures"],
        "regime": list(dict.fromkeys(item["regime"] for item in parsed)),
    }
    found |= {group: list(dict.fromkeys(item[group] for item in parsed)) for group in groups}
    return found | (layout.get("order") or {})


def arrange(layout: dict[str, Any], settings: dict[str, Any]) -> Arranged:
    """Rows, columns and keys of a table from its description and the settings of the stage tables.

    A missing dimension with several values becomes the first of the rows. The name of a single data set is only in
    the title.
    """
    rows, columns = dimensions(layout)
    groups = [d for d in rows + columns if d not in PLAIN]
    values = _values(layout, settings, groups)
    method = "regime" if groups else "run"
    left_out = [d for d in ("backbone", method) if d not in rows + columns and len(values[d]) > 1]
    rows = left_out + [d for d in rows if d != "dataset"]
    fixed = {d: values[d][0] for d in ("dataset", "backbone", method, "measure")}

    def key(chosen: dict[str, str]) -> Key:
        cell = fixed | chosen
        run = join_run(cell, groups) if groups else cell["run"]
        return cell["dataset"], cell["backbone"], run, cell["measure"]

    def each(along: list[str]) -> Iterator[dict[str, str]]:
        for combination in itertools.product(*(values[d] for d in along)):
            yield dict(zip(along, combination, strict=True))

    across = list(each(columns))
    outer = [fixed["dataset"]] if "dataset" in columns else values["dataset"]
    found = []
    for dataset, row in itertools.product(outer, list(each(rows))):
        keys = [key({"dataset": dataset} | row | cell) for cell in across]
        found.append((dataset, "|".join(_text(d, row[d]) for d in rows), keys))
    heads = [[_text(d, cell[d]) for d in columns] for cell in across]
    upper = [", ".join(texts[:-1]) for texts in heads]
    grouped = [(text, len(list(same))) for text, same in itertools.groupby(upper)] if len(columns) > 1 else []
    stubs = [HEADS.get(d, d.capitalize()) for d in rows]
    return Arranged(found, stubs, grouped, [texts[-1] for texts in heads])
