"""The study's rows and its page: every number on README.md is computed from the files beside it.

python docs/study/pages.py take results/study results/study_noise …   # copy the rows of finished experiments here
python docs/study/pages.py write                                      # README.md from README.md.j2 and the rows
python docs/study/pages.py repeat results/study_small                 # does a repetition lie in our intervals?
"""

import argparse
import sys
from functools import cache
from pathlib import Path

import jinja2
import pandas as pd
from calibench.finished.names import RECORD
from calibench.finished.read import read_history, read_keys
from calibench.report.words import fixed

HERE = Path(__file__).parent
ROWS, CONTRASTS = "rows.csv.gz", "contrasts.csv"
FITTED = [
    "nll",
    "ece",
    "top1_error",
    "brier",
    "ece_null_low",
    "ece_null_high",
    "temperature",
]  # of posthoc.csv
TRAINED = ["sce", "nll_refinement", "aurc", "coverage_at_5", "avg_confidence"]  # of metrics.csv
PERCENT = ("top1_error", "coverage_at_5")
KEYS = ["experiment", "dataset", "backbone", "run", "seed", "split", "calibrator", "metric"]
PAIR = ["experiment", "family", "dataset", "backbone", "split", "metric", "run", "reference"]


def read(path: Path) -> pd.DataFrame:
    """A long table; only empty cells are missing, a class may be called NA."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def rows_of(folder: Path, checkpoint: str = "top1") -> pd.DataFrame:
    """The measures of an experiment as trained and after temperature scaling, on test and its other sets."""
    fitted = read(folder / "posthoc.csv").query("metric in @FITTED and calibrator in ('none', 'temperature')")
    trained = read(folder / "metrics.csv").query("metric in @TRAINED and split.str.startswith('test')")
    found = pd.concat([fitted, trained.assign(calibrator="none")]).query("checkpoint == @checkpoint")
    found = pd.concat([found, seconds_of(folder)])
    run = found["regime"] + found["variant"].astype(object).fillna("")
    return found.assign(experiment=folder.name, run=run)[[*KEYS, "value", "n"]]


def seconds_of(folder: Path) -> pd.DataFrame:
    """What the training of each run took, in seconds of one core, from its history."""
    rows = []
    for record in folder.glob(f"*/*/*/seed*/{RECORD}"):
        seconds = read_history(record.parent)["seconds"]
        rows.append(read_keys(record.parent) | {"value": seconds.sum(), "n": len(seconds)})
    return pd.DataFrame(rows).assign(split="train", calibrator="none", metric="train_seconds")


def contrasts_of(folder: Path) -> pd.DataFrame:
    """The planned comparisons of an experiment, pooled and one by one, and those with the best."""
    kept = "family == 'primary' or (family != 'hard' and split == 'test')"
    found = read(folder / "contrasts.csv").query(kept).fillna({"dataset": "", "backbone": ""})
    found.insert(0, "experiment", folder.name)
    return found


def take(folders: list[Path]) -> None:
    """Write rows and comparisons of finished experiments to this folder."""
    rows = pd.concat(map(rows_of, folders)).round({"value": 7})
    rows.to_csv(HERE / ROWS, index=False, compression={"method": "gzip", "mtime": 0})
    pd.concat(map(contrasts_of, folders)).to_csv(HERE / CONTRASTS, index=False, float_format="%.9g")


@cache
def rows() -> pd.DataFrame:
    """All rows, with one index level for each of :data:`KEYS`."""
    return read(HERE / ROWS).set_index(KEYS).sort_index()


@cache
def contrasts() -> pd.DataFrame:
    """All comparisons; an empty data set and backbone means pooled."""
    return read(HERE / CONTRASTS).fillna({"dataset": "", "backbone": ""})


def contrast(
    run, reference, metric, experiment="study", split="test", family="primary", dataset="", backbone=""
):
    """One row of :func:`contrasts`; KeyError if there is not exactly one."""
    at = (experiment, family, dataset, backbone, split, metric, run, reference)
    frame = contrasts()
    found = frame[(frame[PAIR] == list(at)).all(axis=1)]
    if len(found) != 1:
        raise KeyError(f"{len(found)} comparisons {at}")
    return found.iloc[0]


def number(value: float, metric: str, sign: bool = False) -> str:
    """A value as the page prints it: points of error, or three decimals, with a true minus; what rounds to 0 has no sign."""
    return fixed(100 * value, 1, sign) if metric in PERCENT else fixed(value, 3, sign)


def difference(run: str, reference: str, metric: str, **where: str) -> str:
    """``−0.031 [−0.036, −0.026]``, with the interval that is corrected for all planned comparisons where it exists."""
    row = contrast(run, reference, metric, **where)
    low, high = (
        (row["low_holm"], row["high_holm"]) if pd.notna(row["low_holm"]) else (row["low"], row["high"])
    )
    low, high = (number(x, metric, sign=True) for x in (low, high))
    return f"{number(row['difference'], metric, sign=True)} [{low}, {high}]"


def verdict(run: str, reference: str, metric: str, **where: str) -> str:
    """The workflow's verdict of a comparison."""
    row = contrast(run, reference, metric, **where)
    non_inferior = row["verdict"] == "inconclusive" and row["non_inferior"] == "yes"
    return "no worse" if non_inferior else row["verdict"]


def mean(
    run: str, metric: str, calibrator="none", experiment="study", split="test", dataset=None, backbone=None
):
    """Mean of a measure over the seeds of each cell, then over the cells."""
    at = (
        experiment,
        dataset or slice(None),
        backbone or slice(None),
        run,
        slice(None),
        split,
        calibrator,
        metric,
    )
    found = rows().loc[at, "value"]
    return found.groupby(["dataset", "backbone"]).mean().mean()


def value(run: str, metric: str, *more: str, **where: str) -> str:
    """:func:`mean` as text."""
    return number(mean(run, metric, *more, **where), metric)


def calibrated(run: str, calibrator: str = "temperature", experiment: str = "study") -> str:
    """``71 of 80``: networks whose ECE lies within the 95 % band of a calibrated network (docs/metrics.md)."""
    at = (experiment, slice(None), slice(None), run, slice(None), "test", calibrator)
    found = rows().loc[at, "value"].unstack("metric")
    return f"{int((found['ece'] <= found['ece_null_high']).sum())} of {len(found)}"


def recomputed(row: pd.Series) -> float:
    """The difference of a comparison from the rows: the mean over blocks that have both runs."""
    sides = []
    for name in (row["run"], row["reference"]):
        run, _, calibrator = name.partition("@")
        place = row["dataset"] or slice(None), row["backbone"] or slice(None)
        at = (row["experiment"], *place, run, slice(None), row["split"], calibrator or "none", row["metric"])
        sides.append(rows().loc[at, "value"].groupby(["dataset", "backbone", "seed"]).first())
    return float((sides[0] - sides[1]).dropna().mean())


def cost() -> tuple[int, float]:
    """Networks of all experiments, and core-hours of their training."""
    found = rows().xs("train_seconds", level="metric")["value"]
    return len(found), found.sum() / 3600


def each_cell(run: str, reference: str, metric: str) -> pd.Series:
    """The mean difference in each cell of the study."""
    found = contrasts().query("family == 'secondary' and experiment == 'study' and split == 'test'")
    found = found.query("run == @run and reference == @reference and metric == @metric")
    return found.set_index(["dataset", "backbone"])["difference"]


def without(run: str, reference: str, metric: str, dataset: str, backbone: str = "") -> str:
    """The mean difference over all cells but those of a data set, or but one cell."""
    cells = each_cell(run, reference, metric)
    rest = cells.drop((dataset, backbone)) if backbone else cells.drop(dataset, level="dataset")
    return number(rest.mean(), metric, sign=True)


def in_cell(run: str, reference: str, metric: str, dataset: str, backbone: str) -> str:
    """A difference in one cell, with its own interval."""
    return difference(run, reference, metric, family="secondary", dataset=dataset, backbone=backbone)


def above(run: str, reference: str, metric: str) -> str:
    """``7 of 8``: cells where the run has the larger value."""
    found = each_cell(run, reference, metric)
    return f"{int((found > 0).sum())} of {len(found)}"


def page() -> str:
    """README.md: the template with the numbers of the rows."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    study = rows().xs(("study", "test", "none", "nll"), level=["experiment", "split", "calibrator", "metric"])
    environment.globals |= {
        "seeds": study.index.unique("seed").size, "networks": len(study),
        "difference": difference, "verdict": verdict, "value": value, "mean": mean, "number": number,
        "contrast": contrast, "calibrated": calibrated, "without": without,
        "cost": cost, "above": above, "in_cell": in_cell,
    }  # fmt: skip
    return environment.get_template("README.md.j2").render()


def repeat(folder: Path) -> int:
    """Print how the repeated part compares with ours; the number of differences outside our intervals."""
    outside = 0
    for _, row in contrasts_of(folder).query("family == 'secondary' and split == 'test'").iterrows():
        where = {"dataset": row["dataset"], "backbone": row["backbone"], "family": "secondary"}
        ours = contrast(row["run"], row["reference"], row["metric"], **where)
        inside = ours["low"] <= row["difference"] <= ours["high"]
        outside += not inside
        found = number(row["difference"], row["metric"], sign=True)
        low, high = (number(ours[end], row["metric"], sign=True) for end in ("low", "high"))
        what = f"{row['backbone']}, {row['run']} - {row['reference']}, {row['metric']}"
        print(f"{'inside ' if inside else 'OUTSIDE'} {what}: {found}, ours [{low}, {high}]")
    print(f"{outside} outside the intervals of docs/study")
    return outside


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["take", "write", "repeat"])
    parser.add_argument("folders", nargs="*", type=Path)
    args = parser.parse_args()
    if args.what == "take":
        take(args.folders)
    elif args.what == "write":
        (HERE / "README.md").write_text(page())
    else:
        sys.exit(sum(map(repeat, args.folders)) > 0)


if __name__ == "__main__":
    main()
