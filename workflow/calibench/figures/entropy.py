"""How a learned matrix changes over the epochs: its entropy, and how many predictions entered it."""

import argparse
import math

from matplotlib.figure import Figure

from calibench.errors import UserError
from calibench.figures import curves
from calibench.figures.panels import Panels, add_runs_and_classes, class_names

PANELS = {
    "matrix_entropy": ("mean entropy of a row", "nats"),
    "correct_updates": ("right predictions that entered it", "images in the epoch"),
    "fallback_classes": ("classes without a right prediction", "classes in the epoch"),
}

add_options = add_runs_and_classes


def figure(args: argparse.Namespace) -> Figure:
    """Entropy of the learned matrices over the epochs.

    Raises:
        UserError: if no run has a matrix whose entropy was recorded.
    """
    panels, k = Panels(args), len(class_names(args))
    history = panels.history(args.checkpoint)
    if "matrix_entropy" not in history or history["matrix_entropy"].isna().all():
        raise UserError(
            f"{args.records[0]}: no matrix_entropy in its history; this figure is for regimes that learn a matrix"
        )
    history = history.dropna(subset=["matrix_entropy"])
    looks = {run: panels.looks[run] for run in history["run"].unique()}
    # LS++'s rows leave the own class out, so that its uniform row has one class less
    levels = {"uniform row, ln K": math.log(k), "without the own class, ln (K - 1)": math.log(k - 1)}
    return curves.draw(history, looks, panels.titled("learned matrices over the epochs"), PANELS, levels)
