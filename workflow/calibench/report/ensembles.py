"""What averaging the networks of several seeds gains, and how far they disagree."""

from calibench.backbones.names import backbone_label
from calibench.planning.sets import derived_runs
from calibench.regimes.catalog import label
from calibench.report.experiment import Experiment
from calibench.report.html import Html, heading, join, paragraph, table

# measure → header, factor, decimals
SHOWN = {
    "top1_error": ("Top-1 error (%)", 100, 2),
    "gap": ("Confidence − accuracy", 1, 4),
    "ece": ("ECE", 1, 4),
    "nll": ("NLL (nats)", 1, 4),
}


def _cell(value: float | None, factor: int, places: int, signed: bool) -> str | None:
    return None if value is None else f"{factor * value:{'+' if signed else ''}.{places}f}".replace("-", "−")


def ensembles(experiment: Experiment) -> Html:
    """Members and ensembles on the test images; nothing where the config asks for none."""
    derived = derived_runs(experiment.config)
    metrics, apart = (experiment.frame(name, sets=True) for name in ("metrics.csv", "disagreement.csv"))
    if not derived or metrics is None or apart is None:
        return Html()
    checkpoint = experiment.config["tables"]["checkpoint"]

    def on_test(frame):
        kept = frame[(frame["split"] == "test") & (frame["checkpoint"] == checkpoint)]
        kept = kept.assign(run=kept["regime"] + kept["variant"].fillna(""))
        return kept.groupby(["dataset", "backbone", "run", "metric"])["value"].mean().to_dict()

    values, apart = on_test(metrics), on_test(apart)
    several, rows, breaks = len(experiment.datasets) > 1, [], []
    for dataset in experiment.datasets:
        for backbone in experiment.backbones:
            head = f"{backbone_label(backbone)}, {dataset}" if several else backbone_label(backbone)
            for run in experiment.run_names:
                breaks.append(len(rows))
                named = {"one network, mean": run}
                for name, (member, calibrator) in derived.items():
                    text = "ensemble" if calibrator == "none" else f"{calibrator} each, then ensemble"
                    named |= {text: name} if member == run else {}
                for text, name in named.items():
                    cells = [
                        _cell(values.get((dataset, backbone, name, m)), factor, places, m == "gap")
                        for m, (_, factor, places) in SHOWN.items()
                    ]
                    share = apart.get((dataset, backbone, name, "disagreement"))
                    rows.append([head, label(run), text, *cells, _cell(share, 100, 2, False)])
    body = table(
        [
            "Backbone",
            "Regime",
            "Predictions",
            *(name for name, _, _ in SHOWN.values()),
            "Members disagree (%)",
        ],
        rows,
        label="Ensembles",
        stub=3,
        breaks=breaks,
        caption="Test set: the networks of all seeds one by one, and the mean of their probabilities",
        notes=[
            "Members disagree: images on which two networks name different classes, mean over pairs. Averaging makes "
            "predictions less sure: networks that are calibrated one by one tend to be underconfident together."
        ],
    )
    text = "Seeds were trained to tell how far results vary; averaged, they are also one better network."
    return join([heading("Seed ensembles", "ensembles"), paragraph(text), body])
