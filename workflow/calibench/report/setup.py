"""Section 1: what was run."""

from typing import Any

import numpy as np
import pandas as pd

from calibench.backbones.names import backbone_label
from calibench.planning import naming
from calibench.planning.settings import PARTS as SETTINGS_PARTS
from calibench.regimes.catalog import label
from calibench.report import options
from calibench.report.experiment import Experiment
from calibench.report.html import (
    Html,
    absent,
    details,
    heading,
    join,
    number,
    paragraph,
    plural,
    slug,
    table,
)

PARTS = {"train": "training", "select": "selection", "calibrate": "calibration", "test": "test"}
MAIN = [
    "train.epochs",
    "train.batch_size",
    "train.optimizer",
    "train.lr",
    "train.momentum",
    "train.weight_decay",
    "train.schedule",
    "train.milestones",
    "train.decay",
    "train.warmup_epochs",
    "train.clip_norm",
    "model.weights",
    "model.input",
    "augment.pad",
    "augment.flip",
]


def data(experiment: Experiment) -> Html:
    """Data sets with sizes, classes, priors before and after sampling, classes below the cap,
    unreadable files.
    """
    return join(_dataset(experiment, dataset) for dataset in experiment.datasets)


def _dataset(experiment: Experiment, dataset: str) -> Html:
    head = heading(f"Data: {dataset}", slug("data", dataset))
    sample = experiment.store_json(dataset, "sample.json")
    if not sample:
        return join([head, absent(f"No decoded store of {dataset} was given, so its sizes are not shown.")])
    parts = [head, _sizes(sample, experiment.classes(dataset)), _facts(experiment, dataset, sample)]
    parts += [_profile(sample["priors"]), _classes(experiment, dataset, sample)]
    return join(parts)


def _sizes(sample: dict[str, Any], classes: pd.DataFrame | None) -> Html:
    before, after = sample["priors"]["before"], sample["priors"]["after"]
    came_from = {"train": "train", "select": "val", "calibrate": "val", "test": "test"}
    purpose = {
        "train": "fitting the weights",
        "select": "choosing the epoch; anything a regime learns from validation",
        "calibrate": "post-hoc calibration only",
        "test": "every number in the tables",
    }
    rows = []
    for part, name in PARTS.items():
        counts = np.array(after[part])
        split = came_from[part]
        listed = None if classes is None else f"{classes[split].sum():,} ({split})"
        audited = f"{sum(before[split]):,}"
        empty = int((counts == 0).sum())
        rows.append([name, listed, audited, f"{counts.sum():,}", _range(counts), empty, purpose[part]])
    return table(
        [
            "Part",
            "Listed (split)",
            "After the audit",
            "Used",
            "Images per class: min – median – max",
            "Empty classes",
            "Used for",
        ],
        rows,
        label="Images per part",
        stack=True,
        text_columns=[6],
        caption="Images per part, as listed, after the audit and after sampling",
    )


def _range(counts: np.ndarray) -> str:
    return f"{counts.min():,} – {np.median(counts):,.0f} – {counts.max():,}"


def _tv(a: list[int], b: list[int]) -> float:
    """Total variation distance between two class distributions."""
    p, q = np.array(a) / max(sum(a), 1), np.array(b) / max(sum(b), 1)
    return float(np.abs(p - q).sum() / 2)


def _facts(experiment: Experiment, dataset: str, sample: dict[str, Any]) -> Html:
    settings, store = experiment.config["datasets"][dataset], experiment.store_json(dataset, "store.json")
    after = sample["priors"]["after"]
    cap = sample["per_class"]
    sampling = "none: all listed images"
    if cap:
        sampling = (
            f"at most {cap:,} per class in {', '.join(settings['sample']['splits'])}, seed {sample['seed']}"
        )
    unreadable = store.get("unreadable", [])
    rows = [
        ["Format", settings["format"]],
        ["Classes", number(len(after["train"]))],
        ["Sampling", sampling],
        ["Classes below the cap", number(len(sample["below_cap"])) if cap else "no cap"],
        [
            "Priors of training and test",
            f"total variation distance {_tv(after['train'], after['test']):.3f} (0 = equal)",
        ],
        ["Validation kept for post-hoc fitting", f"{100 * settings['calibrate']:.0f} %, cut by group"],
    ]
    if store:
        rows += [
            ["Stored images", f"{store['n']:,}, {store['size']} × {store['size']} px, {store['colour']}"],
            ["Interpolation", settings["store"]["interpolation"]],
            [
                "Unreadable files",
                f"{len(unreadable):,}" + (f" ({settings['store']['unreadable']})" if unreadable else ""),
            ],
        ]
    parts = [table(["Property", "Value"], rows, label=f"Facts about {dataset}", text_columns=[1])]
    if cap and sample["below_cap"]:
        short = [[s["label"], s.get("split", "train"), f"{s['n']:,}"] for s in sample["below_cap"]]
        short_table = table(
            ["Class", "Split", "Images"], short, label="Classes below the cap", text_columns=[1]
        )
        parts.append(
            details(f"{plural(len(short), 'class', 'classes')} below the cap of {cap:,}", short_table)
        )
    if unreadable:
        lost = [[u["filename"], u["why"]] for u in unreadable[:200]]
        parts.append(
            details(
                plural(len(unreadable), "unreadable file"),
                table(["File", "Why"], lost, label="Unreadable files", text_columns=[1]),
            )
        )
    return join(parts)


def _profile(priors: dict[str, Any]) -> Html:
    """Class shares, largest class of the listed training set first, as a small line drawing."""
    before = np.array(priors["before"]["train"], float)
    if before.max() <= 1.5 * max(before.min(), 1):
        return paragraph("Classes are close to balanced, before and after sampling.", "note")
    order = np.argsort(-before, kind="stable")
    lines = {
        "listed": before,
        "training": np.array(priors["after"]["train"], float),
        "test": np.array(priors["after"]["test"], float),
    }
    shares = {name: 100 * v[order] / max(v.sum(), 1) for name, v in lines.items()}
    top = max(v.max() for v in shares.values())
    width, height, left, base = 640, 190, 44, 160
    step = (width - left - 8) / len(before)
    drawn = []
    for name, values in shares.items():
        xs = np.repeat(left + step * np.arange(len(values) + 1), 2)[1:-1]
        ys = np.repeat(base - values / top * (base - 14), 2)
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
        drawn.append(Html('<polyline class="line-{}" points="{}"/>').format(name, points))
    ticks = join(
        Html('<text x="{}" y="{:.1f}" text-anchor="end">{:.3g} %</text>').format(
            left - 4, base - f * (base - 14) + 4, f * top
        )
        for f in (0, 0.5, 1)
    )
    legend = join(
        Html(
            '<g transform="translate({},0)"><line class="line-{}" x1="0" x2="18" y1="8" y2="8"/><text '
            'x="24" y="12">{}</text></g>'
        ).format(width - 290 + 92 * i, name, name)
        for i, name in enumerate(shares)
    )
    svg = Html(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="Share of each class in the listed training set, '
        "the sampled "
        'training set and the test set">{}{}<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>{}'
        '<text x="{}" y="{}" text-anchor="middle">classes, most frequent first</text></svg>'
    ).format(
        width, height, ticks, legend, left, width - 8, base, base, join(drawn), (left + width) / 2, height - 8
    )
    caption = "Class shares (priors): the listed training set, the training images used, and the test set."
    return Html('<figure class="drawing">{}<figcaption>{}</figcaption></figure>').format(svg, caption)


def _classes(experiment: Experiment, dataset: str, sample: dict[str, Any]) -> Html:
    classes = experiment.classes(dataset)
    if classes is None:
        return Html()
    before, after = sample["priors"]["before"], sample["priors"]["after"]
    rows = [
        [name, *(f"{before[s][k]:,}" for s in ("train", "val", "test")), *(f"{after[p][k]:,}" for p in PARTS)]
        for k, name in zip(classes["target"], classes["label"], strict=True)
    ]
    body = table(
        ["Class", "train", "val", "test", *PARTS.values()],
        rows,
        label=f"Images per class of {dataset}",
        groups=[("", 1), ("Listed", 3), ("Used", 4)],
    )
    return details(f"Images of each of the {len(rows)} classes", body)


def recipes(experiment: Experiment) -> Html:
    """Settings of training per backbone, the main ones open and all of them folded."""
    first = options.recipe(experiment, experiment.backbones[0])
    keys = [f"{part}.{key}" for part in SETTINGS_PARTS for key in first[part]]

    def rows(names: list[str]) -> list[list[str]]:
        out = []
        for name in names:
            values = options.of_recipe(experiment, name).values()
            out.append([name, *map(options.show, values), options.origin(name, values)])
        return out

    columns = ["Setting", *(backbone_label(b) for b in experiment.backbones), "Where it comes from"]
    texts = [len(columns) - 1]
    main = table(
        columns,
        rows([k for k in MAIN if k in keys]),
        label="Recipe per backbone",
        stack=True,
        text_columns=texts,
    )
    every = table(columns, rows(keys), label="All settings per backbone", stack=True, text_columns=texts)
    parts = [heading("Backbones and recipes", "recipes"), main, details("Every setting of training", every)]
    if used := _variants(experiment):
        parts.append(used)
    return join(parts)


def _variants(experiment: Experiment) -> Html | None:
    tokens = dict.fromkeys(t for run in experiment.run_names for t in run.split("+")[1:])
    if not tokens:
        return None
    rows = [[t, options.show(experiment.config["variants"].get(t, {}))] for t in tokens]
    return table(
        ["Variant", "Overrides"],
        rows,
        label="Variants",
        stack=True,
        text_columns=[1],
        caption="Variants of runs",
    )


def regimes(experiment: Experiment) -> Html:
    """Regimes with every setting, its value and its provenance."""
    rows, breaks = [], []
    for run in experiment.run_names:
        info = experiment.regimes.get(naming.split_name(run)[0])
        if info is None:
            continue
        breaks.append(len(rows))
        name = Html('{}<br><span class="source">{}</span>').format(label(run), info.source)
        texts = options.argument_texts(info)
        rows += [
            [name, key, options.of_regime(experiment, run, key), texts.get(key, "")] for key in info.settings
        ]
        if not info.settings:
            rows.append([name, "none", None, ""])
    seeds = options.show(experiment.config["seeds"])
    seed_text = (
        f"Seeds: {seeds}. A seed means the same initial weights and the same order of images for every "
        f"regime, "
        "so runs of equal seed are paired."
    )
    body = table(
        ["Regime", "Setting", "Value", "What it is and where the value comes from"],
        rows,
        label="Regimes",
        stack=True,
        breaks=breaks,
        text_columns=[1, 2, 3],
    )
    return join([heading("Regimes and seeds", "regimes"), body, paragraph(seed_text)])
