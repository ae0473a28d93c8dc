"""Section 6: what the runs cost."""

from typing import Any

import numpy as np

from calibench.backbones.names import backbone_label
from calibench.report.experiment import Experiment, Run
from calibench.report.html import Html, absent, join, number, paragraph, table


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 5 s`` or ``2 h 7 min``."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600:,} h {seconds % 3600 // 60} min"


def _mean(values: list[Any]) -> float | None:
    known = [v for v in values if v is not None and v == v]
    return float(np.mean(known)) if known else None


def _row(runs: list[Run]) -> list[Any]:
    records = [run.record.get("provenance", {}) for run in runs]
    histories = [run.history for run in runs if len(run.history)]
    speed = _mean([h["images_per_second"].median() for h in histories if "images_per_second" in h])
    epochs = sorted({len(h) for h in histories})
    best = [run.record.get("epochs", {}).get("top1") for run in runs]
    memory = [m.get("peak_memory_mb") for m in records if m.get("peak_memory_mb") is not None]
    training, total = (
        _mean([m.get("training_seconds") for m in records]),
        _mean([m.get("seconds") for m in records]),
    )
    return [
        number(len(runs)),
        " / ".join(map(str, epochs)) or None,
        ", ".join(str(e) for e in best if e) or None,
        None if training is None else duration(training),
        None if total is None else duration(total),
        None if speed is None else number(round(speed)),
        f"{max(memory) / 1000:.2f}" if memory else None,
    ]


def runs(experiment: Experiment) -> Html:
    """Time, throughput and peak memory, mean over seeds, one row per regime and backbone."""
    if not experiment.finished:
        return absent("No run has finished, so there is no cost to show.")
    rows, breaks, last = [], [], None
    several = len(experiment.datasets) > 1
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in experiment.finished:
        groups.setdefault((run.dataset, run.backbone, run.name), []).append(run)
    for (dataset, backbone, _), members in groups.items():
        if (dataset, backbone) != last:
            breaks.append(len(rows))
            last = (dataset, backbone)
        head = f"{backbone_label(backbone)}, {dataset}" if several else backbone_label(backbone)
        rows.append([head, members[0].label, *_row(members)])
    body = table(
        [
            "Backbone",
            "Regime",
            "Runs",
            "Epochs",
            "Best epoch (Top-1)",
            "Training",
            "With prediction",
            "Images/s",
            "Peak memory (GB)",
        ],  # fmt: skip
        rows,
        label="Cost per run",
        stub=2,
        breaks=breaks,
        notes=[
            "Times and images per second are means over seeds; images per second counts training images, "
            "median over "
            "epochs; peak memory is the largest of the seeds (the process on a CPU, the device's on a GPU)."
        ],
    )
    return join([body, total(experiment)])


def total(experiment: Experiment) -> Html:
    """Sum over runs, and the decoding of the images."""
    seconds = sum(run.record.get("provenance", {}).get("seconds", 0) for run in experiment.finished)
    texts = [f"All {len(experiment.finished)} runs together: {duration(seconds)} of one device."]
    for dataset in experiment.datasets:
        store = experiment.store_json(dataset, "store.json")
        if store:
            texts.append(f"Decoding {dataset}: {store['n']:,} images in {duration(store['seconds'])}.")
    return paragraph(" ".join(texts))
