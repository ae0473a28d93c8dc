"""Rules that any table of results must satisfy, up to the rounding of its cells.

A cell is (value, slack): the value as a fraction (NLL in nats) and half a unit of its last printed digit. All rules
also hold for means over runs: each is linear in the cells, or has a mean of absolute values on the larger side.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log

Cell = tuple[float, float]
Cells = Mapping[str, Cell]  # measure → cell, of one row of a table


@dataclass(frozen=True)
class Finding:
    """``left`` must be at least ``right`` - ``slack``."""

    rule: str
    statement: str
    left: float
    right: float
    slack: float

    @property
    def holds(self) -> bool:
        """Whether the printed numbers satisfy the rule."""
        return self.left >= self.right - self.slack - 1e-9


def error_of(cells: Cells) -> Cell | None:
    """Top-1 error, from the error or the accuracy."""
    if "top1_error" in cells:
        return cells["top1_error"]
    if "accuracy" in cells:
        value, slack = cells["accuracy"]
        return 1 - value, slack
    return None


def ece_gap(cells: Cells) -> Finding | None:
    """Top-label ECE with bin means is never below |mean confidence - accuracy| (triangle inequality over bins)."""
    error = error_of(cells)
    if error is None or not {"ece", "avg_confidence"} <= cells.keys():
        return None
    (ece, s1), (confidence, s2) = cells["ece"], cells["avg_confidence"]
    gap = abs(confidence - (1 - error[0]))
    return Finding("ECE ≥ |confidence − accuracy|", f"{ece:.4f} ≥ {gap:.4f}", ece, gap, s1 + s2 + error[1])


def top5(cells: Cells) -> Finding | None:
    """The first class is one of the first five."""
    if not {"top1_error", "top5_error"} <= cells.keys():
        return None
    (one, s1), (five, s5) = cells["top1_error"], cells["top5_error"]
    return Finding("Top-5 error ≤ Top-1 error", f"{100 * five:.2f} ≤ {100 * one:.2f} %", one, five, s1 + s5)


def brier_bound(cells: Cells) -> Finding | None:
    """A wrong prediction gives a wrong class at least as much as the true class: its Brier score is ≥ 1/2."""
    error = error_of(cells)
    if error is None or "brier" not in cells:
        return None
    value, slack = cells["brier"]
    half = error[0] / 2
    return Finding("Brier ≥ error / 2", f"{value:.4f} ≥ {half:.4f}", value, half, slack + error[1] / 2)


def nll_bound(cells: Cells) -> Finding | None:
    """A wrong prediction gives the true class at most 1/2: its NLL is ≥ ln 2."""
    error = error_of(cells)
    if error is None or "nll" not in cells:
        return None
    value, slack = cells["nll"]
    bound = error[0] * log(2)
    return Finding(
        "NLL ≥ error · ln 2", f"{value:.4f} ≥ {bound:.4f}", value, bound, slack + error[1] * log(2)
    )


def f1_bound(cells: Cells) -> Finding | None:
    """Per class F1 is a harmonic mean, so macro F1 is at most the mean of macro precision and recall."""
    if not {"f1", "precision", "recall"} <= cells.keys():
        return None
    (f1, s), (p, sp), (r, sr) = cells["f1"], cells["precision"], cells["recall"]
    mean = (p + r) / 2
    statement = f"{100 * f1:.2f} ≤ {100 * mean:.2f} %"
    return Finding("F1 ≤ (precision + recall) / 2 (macro)", statement, mean, f1, s + (sp + sr) / 2)


RULES: list[Callable[[Cells], Finding | None]] = [ece_gap, top5, brier_bound, nll_bound, f1_bound]


def check(cells: Cells) -> list[Finding]:
    """The findings of all rules whose measures are in one row."""
    return [finding for rule in RULES if (finding := rule(cells)) is not None]
