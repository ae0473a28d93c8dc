"""Rows of contrasts.csv as they are printed, one family at a time."""

from calibench.finished.names import SET
from calibench.report import words
from calibench.report.decision import in_words, judged_interval
from calibench.report.experiment import Experiment


def rows(x: Experiment, family: str) -> list[list[str]]:
    """Place, comparison, measure, difference with interval, p (Holm), seeds, seeds needed, not worse, verdict."""
    frame = x.frame("contrasts.csv")
    if frame is None:
        return []
    frame = frame[frame["family"] == family]
    pairs = list(
        dict.fromkeys(zip(frame["dataset"], frame["backbone"], frame["run"], frame["reference"], strict=True))
    )
    found = sorted(frame.itertuples(), key=lambda r: pairs.index((r.dataset, r.backbone, r.run, r.reference)))
    return [
        [
            x.where(row.dataset, row.backbone),
            in_words(row.run, row.reference, "−"),
            words.short(row.metric),
            judged_interval(row, x.tested(row.dataset)).replace("\n", " "),
            words.fixed(row.p_holm, 3),
            words.EMPTY if words.missing(row.seeds) else words.number(int(row.seeds)),
            needed(row.seeds_needed),
            row.non_inferior or words.EMPTY,
            row.verdict or words.EMPTY,
        ]
        for row in found
    ]


def elsewhere(x: Experiment) -> list[list[str]]:
    """Comparison, evaluation set, measure, difference with interval, p (Holm), verdict: the planned ones besides test."""
    frame = x.frame("contrasts.csv", sets=True)
    if frame is None:
        return []
    frame = frame[(frame["family"] == "primary") & frame["split"].str.startswith(SET)]
    return [
        [
            in_words(row.run, row.reference, "−"),
            row.split.removeprefix(SET),
            words.short(row.metric),
            judged_interval(row, x.tested(row.dataset)).replace("\n", " "),
            words.fixed(row.p_holm, 3),
            row.verdict or words.EMPTY,
        ]
        for row in frame.sort_values(["run", "reference"], kind="stable").itertuples()
    ]


def needed(seeds: float) -> str:
    """Seeds with which the relevant difference would be found; infinite: only more images help."""
    if words.missing(seeds):
        return words.EMPTY
    return "more images" if seeds == float("inf") else words.number(int(seeds))
