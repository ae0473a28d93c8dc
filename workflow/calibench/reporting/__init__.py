"""The parts of the report: each takes an :class:`Experiment` and returns HTML; the notebook lists them."""

from calibench.reporting import (
    choices,
    cost,
    further,
    inference,
    later,
    provenance,
    published,
    results,
    setup,
    summary,
)
from calibench.reporting.dataaudit import data_audit
from calibench.reporting.experiment import Experiment, open_experiment

__all__ = [
    "Experiment",
    "choices",
    "cost",
    "data_audit",
    "further",
    "inference",
    "later",
    "open_experiment",
    "provenance",
    "published",
    "results",
    "setup",
    "summary",
]
