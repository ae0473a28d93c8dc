"""The parts of the report: each takes an :class:`Experiment` and returns HTML; the notebook lists them."""

from calibench.report import (
    choices,
    comparisons,
    cost,
    diagnostics,
    ensembles,
    provenance,
    published,
    results,
    selective,
    setup,
    shift,
    summary,
)
from calibench.report.dataaudit import data_audit
from calibench.report.experiment import Experiment, open_experiment

__all__ = [
    "Experiment",
    "choices",
    "comparisons",
    "cost",
    "data_audit",
    "diagnostics",
    "ensembles",
    "open_experiment",
    "provenance",
    "published",
    "results",
    "selective",
    "setup",
    "shift",
    "summary",
]
