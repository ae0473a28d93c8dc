"""What the paper's tables do not show: further measures, selective prediction, and the figures of ``figures: extra``."""

import numpy as np

from calibench.backbones.names import backbone_label
from calibench.regimes.catalog import label
from calibench.report.experiment import Experiment
from calibench.report.html import Html, heading, join, paragraph, table
from calibench.report.results import draw

# measure → (header with unit and better direction, factor, decimals)
CALIBRATION = {
    "gap": ("Confidence − accuracy", 1, 4),
    "ece_debiased": ("ECE, debiased ↓", 1, 4),
    "smooth_ece": ("Smooth ECE ↓", 1, 4),
    "ace": ("ACE, all classes ↓", 1, 4),
    "balanced_accuracy": ("Balanced accuracy (%) ↑", 100, 2),
}
SELECTIVE = {
    "r_auc": ("R-AUC ↑", 1, 4),
    "r_auc_normalised": ("R-AUC, normalised ↑", 1, 4),
    "aurc": ("AURC ↓", 1, 4),
    "coverage_at_5": ("Coverage at 5 % error (%) ↑", 100, 1),
    "confidence_right": ("Confidence when right", 1, 3),
    "confidence_wrong": ("Confidence when wrong", 1, 3),
}
EXTRA = ("entropy", "classmeans", "distances", "bars")


def _shown(values: np.ndarray, factor: int, places: int, signed: bool) -> str | None:
    """``0.0123 ± 0.0010`` over seeds, the value alone with one; None without any."""
    if not len(values):
        return None
    text = f"{factor * values.mean():{'+' if signed else ''}.{places}f}".replace("-", "−")
    return f"{text} ± {factor * values.std(ddof=1):.{places}f}" if len(values) > 1 else text


def _measures(experiment: Experiment, names: dict[str, tuple[str, int, int]], title: str, note: str) -> Html:
    """A table of these measures, backbones and runs down; nothing where none was computed."""
    numbers = experiment.numbers()
    if numbers is None or not set(names) & set(experiment.metrics["metric"]):
        return Html()
    several, rows, breaks = len(experiment.datasets) > 1, [], []
    for dataset in experiment.datasets:
        for backbone in experiment.backbones:
            breaks.append(len(rows))
            head = f"{backbone_label(backbone)}, {dataset}" if several else backbone_label(backbone)
            for run in experiment.run_names:
                found = [numbers.ours(dataset, backbone, run, m) for m in names]
                cells = [
                    _shown(v, factor, places, m == "gap")
                    for v, (m, (_, factor, places)) in zip(found, names.items(), strict=True)
                ]
                rows.append([head, label(run), *cells])
    spread = "mean ± standard deviation over seeds" if len(experiment.config["seeds"]) > 1 else "one seed"
    return table(
        ["Backbone", "Regime", *(text for text, _, _ in names.values())],
        rows,
        label=title,
        stub=2,
        breaks=breaks,
        caption=f"{title}: test set, {spread}",
        notes=[note],
    )


def measures(experiment: Experiment) -> Html:
    """Calibration without the bias and the bins of ECE, and accuracy that counts every class alike."""
    note = (
        "Negative confidence − accuracy: underconfident. The debiased ECE takes off part of what chance adds and may be "
        "negative. ACE looks at the probabilities of all classes, so it is small wherever there are many. Definitions: "
        "docs/metrics.md."
    )
    body = _measures(experiment, CALIBRATION, "Further measures", note)
    return join([heading("Further measures", "further"), body]) if body else body


def selective(experiment: Experiment) -> Html:
    """Does a low confidence point to the wrong predictions: measures, retention curves, densities."""
    note = (
        "R-AUC grows with accuracy; its normalised form does not: 1 = every error is less confident than every right "
        "prediction, 0 = confidence says nothing about errors. Coverage: the largest share of images, most confident "
        "first, whose error is at most 5 %."
    )
    body = _measures(experiment, SELECTIVE, "Selective prediction", note)
    drawn = [*draw(experiment, "retention"), *draw(experiment, "density")]
    if not body and not drawn:
        return Html()
    text = "Whether errors can be found by their confidence, for example to hand them to a reader."
    return join([heading("Selective prediction", "selective"), paragraph(text), body, *drawn])


def classes(experiment: Experiment) -> Html:
    """The figures of ``figures: extra`` that were drawn."""
    drawn = [part for kind in EXTRA for part in draw(experiment, kind)]
    return join([heading("What is learned about classes", "classes"), *drawn]) if drawn else Html()
