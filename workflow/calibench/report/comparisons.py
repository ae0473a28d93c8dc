"""Rows of contrasts.csv as they are printed, one family at a time."""

from calibench.finished.names import SET
from calibench.report import words
from calibench.report.decision import in_words, judged_interval
from calibench.report.experiment import Experiment


def rows(x: Experiment, family: str, elsewhere: bool = False) -> list[list[str]]:
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
