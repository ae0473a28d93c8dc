"""The first screen: every regime beside hard labels, what is known, what is not, and what to do next."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from calibench.regimes.catalog import label
from calibench.report import words
from calibench.report.experiment import Experiment

HARD, TEMPERED = "hard", "@temperature"
# columns of contrasts.csv: (measure, after temperature scaling)
COMPARED = [("top1_error", False), ("nll", False), ("ece", False), ("ece", True)]
PAIRED = ["coverage_at_5", "worst_stratum"]  # no test, so the range over pairs of runs
OPEN = ("inconclusive", "no test", "one seed")


class Choice(NamedTuple):
    """One regime: ``cells`` are texts in the order of the table, ``judged``: {verdict: measures}."""

    name: str
    cells: list[str]
    judged: dict[str, list[str]]
    tested: bool


def table(x: Experiment) -> list[Choice]:
    """Hard labels with their values, then every run as its difference to them; all runs as values without `hard`."""
    if x.metrics is None:
        return []
    values, contrasts, bands = _values(x), x.frame("contrasts.csv"), in_band(x)
    reference = HARD if HARD in x.run_names and contrasts is not None else None
    order = [reference, *(n for n in x.run_names if n != reference)] if reference else x.run_names
    found = []
    for name in order:
        absolute = name == reference or reference is None
        cells = [
            _absolute(x, values, *which, name) if absolute else _difference(x, contrasts, *which, name)
            for which in COMPARED
        ]
        for i, tempered in ((2, ""), (3, TEMPERED)):
            if name + tempered in bands:
                cells[i] += "\nin band: {} of {}".format(*bands[name + tempered])
        cells += [
            _mean(x, values, m, name) if absolute else _pairs(x, values, m, name, reference) for m in PAIRED
        ]
        cells.append(_cost(x, name, None if absolute else reference))
        found.append(Choice(label(name), cells, *_judged(contrasts, name, reference)))
    return found


def _values(x: Experiment) -> pd.DataFrame:
    """One row per run and measure on test, the worst stratum and the tempered ECE among them."""
    rows = x.metrics[(x.metrics["split"] == "test") & (x.metrics["checkpoint"] == x.checkpoint)]
    rows = rows.assign(name=rows["regime"] + rows["variant"])
    rows = rows[rows["name"].isin(x.run_names)]
    strata, fitted = x.frame("strata.csv"), x.frame("posthoc.csv")
    parts = [rows]
    if strata is not None:
        worst = strata[(strata["metric"] == "top1_error") & (strata["worst"] == 1)]
        worst = worst.groupby(["dataset", "backbone", "name", "seed"], as_index=False)["value"].max()
        parts.append(worst.assign(metric="worst_stratum"))
    if fitted is not None:
        fitted = fitted[(fitted["calibrator"] == "temperature") & (fitted["split"] == "test")]
        parts.append(fitted[fitted["metric"] == "ece"].assign(metric="ece" + TEMPERED))
    kept = ["dataset", "backbone", "name", "seed", "metric", "value"]
    return pd.concat([part[kept] for part in parts], ignore_index=True)


def _as(metric: str) -> str:
    """The measure whose unit and decimals a column has."""
    return "top1_error" if metric == "worst_stratum" else metric.removesuffix(TEMPERED)


def _mean(x: Experiment, values: pd.DataFrame, metric: str, name: str) -> str:
    mine = values[(values["metric"] == metric) & (values["name"] == name)]["value"]
    return words.measured(_as(metric), mine.mean() if len(mine) else None, x.tested())


def _absolute(x: Experiment, values: pd.DataFrame, metric: str, tempered: bool, name: str) -> str:
    return _mean(x, values, metric + TEMPERED * tempered, name)


def _difference(x: Experiment, contrasts: pd.DataFrame, metric: str, tempered: bool, name: str) -> str:
    suffix = TEMPERED * tempered
    rows = _pooled(contrasts, "hard", metric, name + suffix)
    rows = rows[rows["reference"] == HARD + suffix]
    if rows.empty:
        return words.EMPTY
    row = rows.iloc[0]
    return words.interval(metric, row["difference"], row["low"], row["high"], x.tested())


def _pooled(contrasts: pd.DataFrame, family: str, metric: str, run: str) -> pd.DataFrame:
    """Rows over all data sets and backbones."""
    mine = (contrasts["family"] == family) & (contrasts["metric"] == metric) & (contrasts["run"] == run)
    return contrasts[mine & (contrasts["backbone"] == "")]


def paired(values: pd.DataFrame, metric: str, name: str, reference: str) -> np.ndarray:
    """Differences of runs of the same data set, backbone and seed."""
    wide = values[values["metric"] == metric].pivot_table(
        "value", ["dataset", "backbone", "seed"], "name", sort=False
    )
    return (
        (wide[name] - wide[reference]).dropna().to_numpy() if {name, reference} <= set(wide) else np.empty(0)
    )


def _pairs(x: Experiment, values: pd.DataFrame, metric: str, name: str, reference: str) -> str:
    """Mean difference with the smallest and the largest over pairs."""
    found = paired(values, metric, name, reference)
    if not len(found):
        return words.EMPTY
    return words.interval(_as(metric), found.mean(), found.min(), found.max(), x.tested())


def _cost(x: Experiment, name: str, reference: str | None) -> str:
    """Time of training one network; of others as a factor, with the smallest and the largest over pairs."""
    times = {
        (run.name, run.dataset, run.backbone, run.seed): run.record.get("provenance", {}).get(
            "training_seconds"
        )
        for run in x.finished
    }
    mine = {key[1:]: value for key, value in times.items() if key[0] == name and value}
    if not mine:
        return words.EMPTY
    if reference is None:
        return words.duration(np.mean(list(mine.values())))
    ratios = [value / times[reference, *key] for key, value in mine.items() if times.get((reference, *key))]
    if not ratios:
        return words.EMPTY
    return f"× {np.mean(ratios):.2f}\n[{min(ratios):.2f},{words.NO_BREAK}{max(ratios):.2f}]"


def in_band(x: Experiment) -> dict[str, tuple[int, int]]:
    """{run, also …@temperature: (networks whose ECE lies in the band of a calibrated network, networks)}."""
    frame = x.frame("posthoc.csv")
    if frame is None:
        return {}
    frame = frame[(frame["split"] == "test") & frame["calibrator"].isin(["none", "temperature"])]
    wide = frame.pivot_table("value", ["name", "calibrator", "dataset", "backbone", "seed"], "metric")
    if "ece_null_high" not in wide:
        return {}
    groups = wide.get("ece_null_groups_high", wide["ece_null_high"]).fillna(wide["ece_null_high"])
    inside = wide["ece"] <= groups  # an ECE below its band is no sign of a fault
    return {
        name + TEMPERED * (calibrator == "temperature"): (int(part.sum()), len(part))
        for (name, calibrator), part in inside.groupby(level=["name", "calibrator"])
    }


def _judged(
    contrasts: pd.DataFrame | None, name: str, reference: str | None
) -> tuple[dict[str, list[str]], bool]:
    """{verdict: measures} of the planned comparison with the reference; without one, of the comparison with the best."""
    if contrasts is None:
        return {}, False
    found: dict[str, list[str]] = {}
    for family in ("primary", "best"):
        for metric, tempered in COMPARED:
            rows = _pooled(contrasts, family, metric, name + TEMPERED * tempered)
            if family == "primary":
                rows = rows[rows["reference"] == f"{reference}{TEMPERED * tempered}"]
            for row in rows.itertuples():
                said = words.short(metric) + (" after temperature" if tempered else "")
                found.setdefault(row.verdict or "none", []).append(said)
        if found:
            return found, family == "primary"
    return {}, False


class Finding(NamedTuple):
    """One planned comparison of one measure, pooled."""

    pair: str  # in words
    metric: str
    verdict: str
    text: str  # the difference with the interval that the verdict was read from
    relevant: float
    seeds_needed: float
    non_inferior: str


def findings(x: Experiment) -> list[Finding]:
    """The planned comparisons, all data sets and backbones together."""
    frame = x.frame("contrasts.csv")
    if frame is None:
        return []
    frame = frame[frame["family"] == "primary"]
    found = [
        Finding(
            in_words(row.run, row.reference), row.metric, row.verdict,
            judged_interval(row, x.tested()).replace("\n", " ") + words.unit(row.metric),
            row.relevant, row.seeds_needed, row.non_inferior,
        )
        for row in frame.itertuples()
    ]  # fmt: skip
    order = {metric: i for i, (metric, _) in enumerate(COMPARED)}
    return sorted(found, key=lambda one: order.get(one.metric, len(order)))


def in_words(run: str, reference: str, between: str = "against") -> str:
    """``OLS against Hard labels, both after temperature``."""
    steps = {name.partition("@")[2] for name in (run, reference)}
    if len(steps) == 1 and "" not in steps:
        plain = [words.run_label(name.partition("@")[0]) for name in (run, reference)]
        return f"{plain[0]} {between} {plain[1]}, both after {steps.pop()}"
    return f"{words.run_label(run)} {between} {words.run_label(reference)}"


def judged_interval(row: Any, n: int | None) -> str:
    """A difference with the interval that its verdict was read from."""
    holm = not words.missing(row.low_holm)
    low, high = (row.low_holm, row.high_holm) if holm else (row.low, row.high)
    return words.interval(row.metric, row.difference, low, high, n)


def by_pair(found: list[Finding], *verdicts: str) -> list[tuple[str, list[Finding]]]:
    """(pair, findings with one of the verdicts), in the order of the config."""
    pairs: dict[str, list[Finding]] = {finding.pair: [] for finding in found}
    for finding in found:
        if finding.verdict in verdicts:
            pairs[finding.pair].append(finding)
    return [(pair, members) for pair, members in pairs.items() if members]
