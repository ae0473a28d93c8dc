"""The parts of the report: each takes an :class:`Experiment`, reads files and returns HTML; the notebook lists them."""

from calibench.reporting import choices, cost, later, provenance, published, results, setup, summary
from calibench.reporting.experiment import Experiment, open_experiment

__all__ = [
    "Experiment", "choices", "cost", "later", "open_experiment", "provenance", "published", "results", "setup", "summary",
]  # fmt: skip
