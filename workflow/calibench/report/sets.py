"""Beyond one network on its test images: other evaluation sets, seed ensembles, other confidence functions."""

from itertools import product
from typing import Any

import pandas as pd

from calibench.files import read_json
from calibench.finished.sets import CORRUPTION, SITE
from calibench.planning.sets import derived_runs
from calibench.regimes.catalog import label
from calibench.report import words
from calibench.report.experiment import Experiment

SHOWN = ["top1_error", "gap", "ece", "nll"]
FITTED = ["ece", "nll"]
FOUND = ["aurc", "r_auc", "coverage_at_5"]


def _group(row: Any) -> str:
    """What a row of shift.csv is counted under: kinds of corruption together, by severity."""
    if row.kind == SITE:
        return f"site {row.split.partition('@')[2]}"
    if row.kind == CORRUPTION:
        return f"corruptions, severity {row.level:g}"
    return f"{row.split.partition('@')[2]} ({row.family.upper()}, ±{row.level:g})"


def shift(x: Experiment) -> dict[str, Any] | None:
    """``rows``: place, run, set, :data:`SHOWN` as trained, :data:`FITTED` after temperature, means over seeds and kinds of
    corruption, test first; ``kinds``, ``corruptions`` (how many); None where nothing else was asked about.
    """
    frame = x.frame("shift.csv", sets=True)
    if frame is None:
        return None
    rows = []
    for head, part, n in x.parts("shift.csv", sets=True):
        if "@" in part["name"].iloc[0]:
            continue
        group = pd.Series([_group(row) for row in part.itertuples()], part.index)
        blocks = {"test images": part.assign(value=part["test"])}
        blocks |= dict(list(part.groupby(group, sort=False)))
        for name, block in blocks.items():
            means = block.groupby(["calibrator", "metric"])["value"].mean().to_dict()
            asked = [("none", m) for m in SHOWN] + [("temperature", m) for m in FITTED]
            rows.append([*head, name, *(words.measured(m, means.get((c, m)), n) for c, m in asked)])
    kinds = frame.loc[frame["kind"] == CORRUPTION, "family"].nunique()
    return {"rows": rows, "kinds": set(frame["kind"]), "corruptions": kinds}


def sites(x: Experiment) -> list[dict[str, Any]]:
    """What of each site could be asked about, as the stage ``match`` wrote it, with ``dataset`` and ``site``."""
    found = []
    for dataset, site in product(x.datasets, x.config["evaluate_on"]["sites"]):
        path = x.folder / dataset / "sites" / f"{site}.json"
        if site != dataset and path.is_file():
            found.append({"dataset": dataset, "site": site} | read_json(path))
    return found


def _on_test(x: Experiment, file: str) -> dict[tuple[str, ...], float]:
    """(data set, backbone, run, measure) → mean over seeds on test; ensembles are runs."""
    frame = x.frame(file, sets=True)
    if frame is None:
        return {}
    frame = frame[(frame["split"] == "test") & (frame["checkpoint"] == x.checkpoint)]
    return frame.groupby(["dataset", "backbone", "name", "metric"])["value"].mean().to_dict()


def ensembles(x: Experiment) -> list[list[str]]:
    """Place, run, calibrator of an ensemble's members (``""``: one network), :data:`SHOWN`, share of disagreement."""
    values, apart = _on_test(x, "metrics.csv"), _on_test(x, "disagreement.csv")
    derived = derived_runs(x.config).items()
    rows = []
    for place, run in product(x.places, x.run_names) if apart else ():
        n = x.tested(place[0])
        for name, calibrator in [(run, ""), *((key, of[1]) for key, of in derived if of[0] == run)]:
            cells = [words.measured(m, values.get((*place, name, m)), n) for m in SHOWN]
            share = words.measured("top1_error", apart.get((*place, name, "disagreement")), n)
            rows.append([x.where(*place), label(run), calibrator, *cells, share])
    return rows


def confidences(x: Experiment) -> list[list[str]]:
    """Place, run, confidence function, :data:`FOUND` on test, means over seeds."""
    rows = []
    for head, part, n in x.parts("selective.csv"):
        part = part[(part["split"] == "test") & part["metric"].isin(FOUND)]
        means = part.pivot_table("value", "confidence", "metric", sort=False)
        rows += [
            [*head, name, *(words.measured(m, row.get(m), n) for m in FOUND)]
            for name, row in means.iterrows()
        ]
    return rows
