"""Beyond one network on its test images: other evaluation sets, seed ensembles, other confidence functions."""

from typing import Any

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
    frame = frame[~frame["name"].str.contains("@")]
    frame = frame.assign(group=[_group(row) for row in frame.itertuples()])
    rows = []
    for (dataset, backbone, name), part in frame.groupby(["dataset", "backbone", "name"], sort=False):
        blocks = [("test images", part.assign(value=part["test"]))]
        blocks += [(group, part[part["group"] == group]) for group in part["group"].unique()]
        for group, block in blocks:
            means = block.groupby(["calibrator", "metric"])["value"].mean().to_dict()
            asked = [("none", m) for m in SHOWN] + [("temperature", m) for m in FITTED]
            cells = [words.measured(m, means.get((c, m)), x.tested(dataset)) for c, m in asked]
            rows.append([x.where(dataset, backbone), label(name), group, *cells])
    kinds = frame.loc[frame["kind"] == CORRUPTION, "family"].nunique()
    return {"rows": rows, "kinds": set(frame["kind"]), "corruptions": kinds}


def sites(x: Experiment) -> list[dict[str, Any]]:
    """What of each site could be asked about, as the stage ``match`` wrote it, with ``dataset`` and ``site``."""
    found = []
    for dataset in x.datasets:
        for site in x.config["evaluate_on"]["sites"]:
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
    """Place, run, whose predictions (calibrator of the members; ``""``: one network), :data:`SHOWN`, share of disagreement."""
    values, apart = _on_test(x, "metrics.csv"), _on_test(x, "disagreement.csv")
    rows = []
    for place in x.places if apart else ():
        for run in x.run_names:
            named = {run: ""} | {
                k: calibrator for k, (of, calibrator) in derived_runs(x.config).items() if of == run
            }
            for name, calibrator in named.items():
                cells = [words.measured(m, values.get((*place, name, m)), x.tested(place[0])) for m in SHOWN]
                share = apart.get((*place, name, "disagreement"))
                rows.append(
                    [
                        x.where(*place),
                        label(run),
                        calibrator,
                        *cells,
                        words.measured("top1_error", share, x.tested(place[0])),
                    ]
                )
    return rows


def confidences(x: Experiment) -> list[list[str]]:
    """Place, run, confidence function, :data:`FOUND` on test, means over seeds; ``▼`` marks the lowest AURC of a run."""
    frame = x.frame("selective.csv")
    if frame is None:
        return []
    frame = frame[(frame["split"] == "test") & frame["metric"].isin(FOUND)]
    keys = ["dataset", "backbone", "name", "confidence"]
    means = frame.pivot_table("value", keys, "metric", sort=False)
    best = set(means.groupby(keys[:3], sort=False)["aurc"].idxmin()) if len(means) else set()
    return [
        [
            x.where(key[0], key[1]),
            label(key[2]),
            key[3],
            *(words.measured(m, row.get(m), x.tested(key[0])) for m in FOUND),
            "▼" * (key in best),
        ]
        for key, row in means.iterrows()
    ]
