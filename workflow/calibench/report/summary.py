"""The top of the report: what was compared, headline numbers, and what cannot be concluded."""

import math
from typing import Any

import numpy as np

from calibench.backbones.names import backbone_label
from calibench.metrics.labels import METRICS
from calibench.regimes.catalog import label
from calibench.report.experiment import Experiment
from calibench.report.html import Html, absent, bullets, join, listed, paragraph, plural, table
from calibench.tables.cells import show

CHECKPOINTS = {
    "top1": "the epoch with the best Top-1 accuracy on the selection half of validation",
    "nll": "the epoch with the best NLL on the selection half of validation",
    "last": "the last epoch",
}


def _size(experiment: Experiment, dataset: str) -> str:
    after = experiment.store_json(dataset, "sample.json").get("priors", {}).get("after", {})
    if not after:
        return dataset
    counts = {part: sum(n) for part, n in after.items()}
    classes = len(after["train"])
    return (
        f"{dataset} ({classes} classes; {counts['train']:,} training, {counts['select']:,} selection, "
        f"{counts['calibrate']:,} calibration and {counts['test']:,} test images)"
    )


def title(experiment: Experiment) -> Html:
    """Title, what this is, and whether it is whole."""
    config = experiment.config
    dates = sorted(
        run.record["provenance"]["finished"] for run in experiment.finished if "provenance" in run.record
    )
    about = [f"Experiment {config['name']}", f"calibench {experiment.version}"]
    about += [f"last run finished {dates[-1][:10]}"] if dates else []
    names = [label(run) for run in experiment.run_names]
    lead = Html("{} trained with {} on {}; {} per cell.").format(
        f"{plural(len(names), 'training regime')} ({listed(names)})",
        listed([backbone_label(b) for b in experiment.backbones]),
        "; ".join(_size(experiment, dataset) for dataset in experiment.datasets),
        plural(len(config["seeds"]), "seed"),
    )
    parts = [
        Html('<h1>{}</h1><p class="about">{}</p>').format(
            config["title"] or config["name"], " · ".join(about)
        ),
        Html('<p class="lead">{}</p>').format(lead),
    ]
    return join([*parts, state(experiment)])


def state(experiment: Experiment) -> Html:
    """How many of the planned runs there are; which are missing."""
    planned, missing = len(experiment.runs), experiment.missing
    if not missing:
        return paragraph(
            f"All {planned} planned runs have finished." if planned > 1 else "The planned run has finished."
        )
    shown = [run.title for run in missing[:12]]
    shown += [f"and {len(missing) - 12} more"] if len(missing) > 12 else []
    text = f"Partial results: {planned - len(missing)} of {planned} planned runs have finished. Missing:"
    return Html('<div class="warning" role="note">{}{}</div>').format(paragraph(text), bullets(shown))


def _best(experiment: Experiment, dataset: str, backbone: str, metric: str) -> tuple[str, str, str] | None:
    """Label of the run with the lowest mean, its value, and the value of ``hard``; None without numbers."""
    numbers = experiment.numbers()
    found = {run: numbers.ours(dataset, backbone, run, metric) for run in experiment.run_names}
    found = {run: values for run, values in found.items() if len(values)}
    if not found:
        return None
    lowest = min(found, key=lambda run: found[run].mean())
    places = numbers.places(dataset, metric)
    hard = found.get("hard", np.empty(0))
    return label(lowest), show(found[lowest], metric, places), show(hard, metric, places)


def headline(experiment: Experiment) -> Html:
    """Lowest error and lowest calibration error per backbone, beside hard labels."""
    if experiment.metrics is None:
        return absent("No metrics.csv yet: there are no numbers to summarise.")
    rows, several = [], len(experiment.datasets) > 1
    for dataset in experiment.datasets:
        for backbone in experiment.backbones:
            cells: list[Any] = [dataset] if several else []
            cells.append(backbone_label(backbone))
            for metric in ("top1_error", "ece"):
                cells += _best(experiment, dataset, backbone, metric) or (None, None, None)
            rows.append(cells)
    stub = 2 if several else 1
    checkpoint = experiment.table_settings["checkpoint"]
    return table(
        [*(["Data set"] if several else []), "Backbone", *["Lowest with", "Value", "Hard labels"] * 2],
        rows,
        label="Headline numbers",
        groups=[("", stub), *((METRICS[m][0], 3) for m in ("top1_error", "ece"))],
        stub=stub,
        text_columns=[stub, stub + 3],
        caption=f"Headline numbers: test set, checkpoint {checkpoint}",
        notes=[f"Weights: {CHECKPOINTS[checkpoint]}. The test set chose nothing."],
    )


def _sampling(experiment: Experiment) -> list[str]:
    """How far a Top-1 error moves when other test images are drawn: 95 % half-width, normal approximation."""
    rows = experiment.metrics
    rows = rows[(rows["split"] == "test") & (rows["metric"] == "top1_error")]
    rows = rows[rows["checkpoint"] == experiment.table_settings["checkpoint"]]
    texts = []
    for dataset, group in rows.groupby("dataset"):
        if dataset not in experiment.datasets:
            continue
        error, n = float(group["value"].median()), int(group["n"].median())
        half = 1.96 * math.sqrt(error * (1 - error) / n)
        texts.append(
            f"The {dataset} test set has {n:,} images: at a Top-1 error near {100 * error:.1f} % the draw "
            f"of images "
            f"alone moves it by about ±{100 * half:.1f} points (95 %)."
        )
    return texts


def lost_images(experiment: Experiment) -> list[str]:
    """Images that were listed and could not be read: the numbers are without them."""
    texts = []
    for dataset in experiment.datasets:
        audit, store = (experiment.store_json(dataset, f"{stage}.json") for stage in ("audit", "store"))
        lost = len(audit.get("unreadable", [])) + len(store.get("unreadable", []))
        total = audit.get("images") or store.get("n", 0) + lost
        if lost:
            texts.append(
                f"{lost:,} of the {total:,} listed images of {dataset} were missing or unreadable and took no part, in "
                "training or in test: if they differ from the others, these numbers are not those of the whole list."
            )
    return texts


def _not_learned(experiment: Experiment) -> list[str]:
    """Runs whose test error cannot be told from that of always naming the most frequent class."""
    rows = experiment.metrics
    rows = rows[(rows["split"] == "test") & (rows["metric"] == "top1_error")]
    rows = rows[rows["checkpoint"] == experiment.table_settings["checkpoint"]]
    texts = []
    for dataset in experiment.datasets:
        counts = experiment.store_json(dataset, "sample.json").get("priors", {}).get("after", {}).get("test")
        if not counts:
            continue
        chance, n = 1 - max(counts) / sum(counts), sum(counts)
        # one-sided 95 %: on a small test set an error somewhat below that of the constant answer is still luck
        lucky = chance - 1.645 * math.sqrt(chance * (1 - chance) / n)
        failed = rows[(rows["dataset"] == dataset) & (rows["value"] >= lucky - 1e-9)]
        names = [
            f"{label(regime + variant)} with {backbone_label(backbone)} (seed {', '.join(map(str, part['seed']))})"
            for (regime, variant, backbone), part in failed.groupby(
                ["regime", "variant", "backbone"], sort=False
            )
        ]
        if names:
            texts.append(
                f"Not learned on {dataset}: {'; '.join(names)}. On these {n:,} test images the Top-1 error cannot be told from the "
                f"{100 * chance:.1f} % of always naming the most frequent class, so the other numbers of these runs, and "
                "comparisons with them, mean nothing. Gradient norms may show why: a regime with a larger loss needs a smaller learning rate."
            )
    return texts


def _detectable(experiment: Experiment) -> str:
    """How large a difference the planned tests could see: the usual half-width of their intervals."""
    frame = experiment.frame("contrasts.csv")
    if frame is None:
        return ""
    frame = frame[(frame["family"] == "primary") & (frame["metric"] == "top1_error")]
    half = float(((frame["high"] - frame["low"]) / 2).median())
    if math.isnan(half):
        return ""
    return f", and half of the planned comparisons could not see a difference below {100 * half:.1f} points of Top-1 error"


def limits(experiment: Experiment) -> Html:
    """What these numbers cannot show."""
    seeds = len(experiment.config["seeds"])
    texts = []
    if seeds == 1:
        texts.append(
            "One seed per cell: the intervals below cover the draw of test images for these very networks. How far "
            "training again would move the numbers is unknown, so no difference between regimes generalises to "
            "retraining, and the order of the regimes is not a finding."
        )
    elif seeds < 6:
        texts.append(
            f"{seeds} seeds per cell: the standard deviations are rough"
            + _detectable(experiment)
            + "; see the comparisons below for what can be said."
        )
    if experiment.metrics is not None:
        texts += _not_learned(experiment) + _sampling(experiment)
    texts += lost_images(experiment)
    if experiment.missing:
        texts.append(
            "Runs are missing; a cell over fewer seeds than its neighbours is not comparable to them."
        )
    return join([Html("<h3 id='limits'>What cannot be concluded</h3>"), bullets(texts)])
