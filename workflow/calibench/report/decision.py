"""The first screen: every regime beside hard labels, what is known, what is not, and what to do next."""

from typing import Any, NamedTuple

import pandas as pd

from calibench.finished.names import SET
from calibench.regimes.catalog import label
from calibench.report import words
from calibench.report.experiment import Experiment

HARD, TEMPERED = "hard", "@temperature"
COMPARED = ["top1_error", "nll", "ece", "ece@temperature"]  # in contrasts.csv
PAIRED = ["coverage_at_5", "worst_stratum"]  # no test, so the range over pairs of runs
OPEN = ("inconclusive", "no test", "one seed")


class Choice(NamedTuple):
    """One regime: ``cells`` are texts in the order of the table, ``judged``: {verdict: measures}."""

    name: str
    cells: list[str]
    judged: dict[str, list[str]]


def table(x: Experiment) -> list[Choice]:
    """Hard labels with their values, then every run as its difference to them; all runs as values without `hard`."""
    if x.metrics is None:
        return []
    values, contrasts, bands = _values(x), x.frame("contrasts.csv"), in_band(x)
    reference = HARD if HARD in x.run_names and contrasts is not None else None
    order = [reference, *(n for n in x.run_names if n != reference)] if reference else x.run_names
    found = []
    for name in order:
        absolute, cells = name == reference or reference is None, []
        for metric in (*COMPARED, *PAIRED):
            shown = _mean if absolute else _pairs if metric in PAIRED else _difference
            cells.append(shown(x, values if shown is not _difference else contrasts, metric, name))
            if metric.startswith("ece") and name + metric[3:] in bands:
                cells[-1] += "\nin band: {} of {}".format(*bands[name + metric[3:]])
        cells.append(_cost(values, name, absolute))
        found.append(Choice(label(name), cells, _judged(contrasts, name, reference)))
    return found


def _values(x: Experiment) -> pd.DataFrame:
    """One row per run and measure on test, the worst stratum and the tempered ECE among them."""
    rows = x.shown.assign(name=x.shown["regime"] + x.shown["variant"])
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
    time = "training_seconds"
    times = [[r.dataset, r.backbone, r.name, r.seed, time, r.measured(time)] for r in x.finished]
    parts.append(pd.DataFrame(times, columns=kept).dropna())
    return pd.concat([part[kept] for part in parts], ignore_index=True)


def _as(metric: str) -> str:
    """The measure whose unit and decimals a column has."""
    return "top1_error" if metric == "worst_stratum" else metric.removesuffix(TEMPERED)


def _mean(x: Experiment, values: pd.DataFrame, metric: str, name: str) -> str:
    mine = values[(values["metric"] == metric) & (values["name"] == name)]["value"]
    return words.measured(_as(metric), mine.mean() if len(mine) else None, x.tested())


def _difference(x: Experiment, contrasts: pd.DataFrame, column: str, name: str) -> str:
    metric, at, step = column.partition("@")
    rows = _pooled(contrasts, "hard", metric, name + at + step)
    rows = rows[rows["reference"] == HARD + at + step]
    row = rows.iloc[0] if len(rows) else {}
    return words.interval(metric, row.get("difference"), row.get("low"), row.get("high"), x.tested())


def _pooled(contrasts: pd.DataFrame, family: str, metric: str, run: str) -> pd.DataFrame:
    """Rows over all data sets and backbones."""
    mine = (contrasts["family"] == family) & (contrasts["metric"] == metric) & (contrasts["run"] == run)
    return contrasts[mine & (contrasts["backbone"] == "")]


def pairs(values: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A row per data set, backbone and seed, a column per run."""
    return values[values["metric"] == metric].pivot_table("value", ["dataset", "backbone", "seed"], "name")


def _pairs(x: Experiment, values: pd.DataFrame, metric: str, name: str) -> str:
    """Mean difference with the smallest and the largest over pairs."""
    found = pairs(values, metric)
    if not {name, HARD} <= set(found):
        return words.EMPTY
    apart = found[name] - found[HARD]
    return words.interval(_as(metric), apart.mean(), apart.min(), apart.max(), x.tested())


def _cost(values: pd.DataFrame, name: str, absolute: bool) -> str:
    """Time of training one network; of others as a factor, with the smallest and the largest over pairs."""
    found = pairs(values, "training_seconds")
    if name not in found:
        return words.EMPTY
    if absolute:
        return words.duration(found[name].mean())
    ratio = (found[name] / found.get(HARD)).dropna()
    if ratio.empty:
        return words.EMPTY
    return f"× {ratio.mean():.2f}\n[{ratio.min():.2f},{words.NO_BREAK}{ratio.max():.2f}]"


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


def _judged(contrasts: pd.DataFrame | None, name: str, reference: str | None) -> dict[str, list[str]]:
    """{verdict: measures} of the planned comparison with the reference; without one, of the comparison with the best."""
    if contrasts is None:
        return {}
    found: dict[str, list[str]] = {}
    for family in ("primary", "best"):
        for column in COMPARED:
            metric, at, step = column.partition("@")
            rows = _pooled(contrasts, family, metric, name + at + step)
            if family == "primary":
                rows = rows[rows["reference"] == f"{reference}{at}{step}"]
            for row in rows.itertuples():
                said = words.short(metric) + (f" after {step}" if step else "")
                found.setdefault(row.verdict or "none", []).append(said)
        if found:
            break
    return found


class Finding(NamedTuple):
    """One planned comparison of one measure, pooled."""

    pair: str  # in words
    metric: str
    verdict: str
    text: str  # the difference with the interval that the verdict was read from
    relevant: float
    seeds_needed: float


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
            row.relevant, row.seeds_needed,
        )
        for row in frame.itertuples()
    ]  # fmt: skip
    order = {metric: i for i, metric in enumerate(COMPARED)}
    return sorted(found, key=lambda one: order.get(one.metric, len(order)))


def compared(x: Experiment, family: str, elsewhere: bool = False) -> list[list[str]]:
    """Place, comparison, measure, difference with interval, p (Holm), seeds, seeds needed, not worse, verdict, set.

    Of the test images, or of all other evaluation sets.
    """
    frame = x.frame("contrasts.csv", sets=elsewhere)
    if frame is None:
        return []
    frame = frame[(frame["family"] == family) & (frame["split"].str.startswith(SET) | (not elsewhere))]
    places = ["dataset", "backbone", "run", "reference"]
    order = frame.groupby(places, sort=False).ngroup()
    return [
        [
            x.where(row.dataset, row.backbone),
            in_words(row.run, row.reference, "−"),
            words.short(row.metric),
            judged_interval(row, x.tested(row.dataset)).replace("\n", " "),
            words.fixed(row.p_holm, 3),
            words.number(row.seeds),
            needed(row.seeds_needed),
            row.non_inferior or words.EMPTY,
            row.verdict or words.EMPTY,
            row.split.removeprefix(SET),
        ]
        for row in frame.loc[order.sort_values(kind="stable").index].itertuples()
    ]


def needed(seeds: float) -> str:
    """Seeds with which the relevant difference would be found; infinite: only more images help."""
    if words.missing(seeds):
        return words.EMPTY
    return "more images" if seeds == float("inf") else words.number(int(seeds))


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
