"""Sections 2 to 4: the tables and figures of the paper, from our runs."""

from pathlib import Path
from typing import Any

import pandas as pd

from calibench.backbones.names import backbone_label
from calibench.planning import naming
from calibench.regimes.catalog import label
from calibench.report.experiment import Experiment
from calibench.report.html import (
    Html,
    absent,
    code,
    details,
    figure,
    from_grid,
    heading,
    join,
    number,
    slug,
    table,
)
from calibench.tables.layouts import LAYOUTS, of_config

NOT_YET = "There is no metrics.csv yet, so this table is left out."

# kind of figure → (number, what it shows and what to look at)
KINDS = {
    "tsne": (
        "Figure 2.",
        "t-SNE of penultimate features, the same training images in every panel. Colours are classes, whose names (or "
        "numbers in the legend) stand in the middle of their points; with more than 20 classes colours are modality and "
        "anatomy where these are known. Look at whether a class forms one island and which classes touch. Distances "
        "between islands and their sizes mean nothing in such a map: the scores in the table are measured on the features "
        "themselves.",
    ),
    "reliability": (
        "Reliability.",
        "Accuracy against confidence in 15 equal-width bins of the test set, for the seed in the title. Dots: a bin's "
        "accuracy at its mean confidence, with Wilson's 95 % interval; below the diagonal is overconfident, above it "
        "underconfident. Curve: the same without bins, smoothed with the width at which the smooth calibration error is "
        "measured; where that error is large, the curve is wide and need not meet the dots. In colour: as trained; black: "
        "after temperature scaling, fitted on the calibration half of validation. The grey areas (black outlines after "
        "scaling) hold the accuracy of 95 % of calibrated models. Look at the counts below first: a bin of a few images "
        "says little. A T near 0.01: no wrong prediction to fit it on.",
    ),
    "curves": (
        "Learning curves.",
        "Training and validation (selection half) by epoch: the mean over seeds, a band from the lowest seed to the "
        "highest, and a dot at the epoch whose weights were chosen for each seed. A dot at the last epoch: the run "
        "may have been stopped while it still improved. Losses of different regimes are different quantities; compare errors and "
        "validation NLL.",
    ),
    "matrix": (
        "Soft labels.",
        "Label matrices learnt in training (by OLS, its controls, LS++), row = true class, diagonal left out. Bright cells "
        "are the classes the network itself takes for each other. Each panel has its own colours, from its smallest to its "
        "largest entry. A hatched row was not learnt: its class had no right prediction in the last epoch.",
    ),
    "retention": (
        "Retention curves.",
        "Accuracy when the most confident share of predictions is kept and the others are replaced by the truth, minus "
        "that of the same run kept at random; the band reaches from the lowest seed to the highest. Panel (a) is in "
        "points of accuracy, so that a run with more errors can lie higher. Panel (b) is relative to the highest value that "
        "a perfect order of the errors reaches: there the higher curve ranks its errors better, and its area is half the "
        "normalised R-AUC.",
    ),
    "density": (
        "Confidence of wrong and right predictions.",
        "Share of a run's wrong (a) and right (b) predictions that have at least the confidence on the axis; each curve "
        "is normalised to the number of its own predictions, which the legend gives. A confidence that tells right from "
        "wrong falls early in (a) and late in (b).",
    ),
    "shift": (
        "Away from the test images.",
        "Error and calibration by severity of a corruption, bound of an attack, and site; bands reach from the lowest to "
        "the highest seed. Look at whether the order of the regimes on the test images holds elsewhere.",
    ),
    "entropy": (
        "Entropy of the learned labels.",
        "By epoch: the mean over seeds and a band from the lowest seed to the highest. Towards zero the soft labels become "
        "hard ones; at the grey line they are uniform (LS++ leaves the own class out: the lower line).",
    ),
    "classmeans": (
        "Mean output probabilities by class.",
        "Row = true class of the test images, diagonal left out, one scale for all panels. Even rows: the other classes "
        "are all alike to the network.",
    ),
    "distances": (
        "Distances between class centres.",
        "Cosine distances in the penultimate features of training images, each row divided by its sum, one scale for all "
        "panels. An even map: the regime has put all classes equally far apart.",
    ),
    "bars": (
        "Training target of one class.",
        "What an image of the class is trained towards after the last epoch, log scale, the own class in colour. Regimes "
        "that have no label of a class are left out.",
    ),
}
SCORES = {  # header, factor, decimals
    "silhouette": ("Silhouette ↑", 1, 3),
    "davies_bouldin": ("Davies–Bouldin ↓", 1, 2),
    "knn_hit": ("kNN hit (%) ↑", 100, 1),
    "within_between": ("Within / between ↓", 1, 3),
}


def _printed(experiment: Experiment, name: str, layout: dict[str, Any] | None = None) -> Html:
    numbers = experiment.numbers(layout)
    if numbers is None:
        return absent(NOT_YET)
    parts = [from_grid(of_config(numbers, layout) if layout else LAYOUTS[name](numbers))]
    tex = experiment.folder / "tables" / f"{name}.tex"
    if tex.is_file():
        text = tex.read_text(encoding="utf-8")
        parts.append(details("The same table as LaTeX", code(text), printed=False))
    return join(parts)


def table1(experiment: Experiment) -> Html:
    """Table 1: Top-1 and Top-5 error; ours, published, difference."""
    return _printed(experiment, "table1")


def table2(experiment: Experiment) -> Html:
    """Table 2: ECE and average confidence; ours, published, difference."""
    return _printed(experiment, "table2")


def table3(experiment: Experiment) -> Html:
    """Table 3: ten measures; nothing where they were not computed."""
    if experiment.metrics is None or "auroc" not in set(experiment.metrics["metric"]):
        return Html()
    return join([heading("Ten measures (Table 3)", "table3"), _printed(experiment, "table3")])


def described(experiment: Experiment) -> Html:
    """Tables that the config describes (``tables: layouts``); nothing where there are none."""
    parts = []
    for layout in experiment.config["tables"]["layouts"] if experiment.metrics is not None else ():
        title = layout.get("title") or f"Table {layout['name']}"
        parts += [heading(title, slug(layout["name"])), _printed(experiment, layout["name"], layout)]
    return join(parts)


def _panels(experiment: Experiment, kind: str) -> list[tuple[str, str, Path]]:
    """(dataset, backbone, file) of the figures that exist."""
    places = [
        (d, b, experiment.folder / "figures" / f"{kind}-{d}-{b}.png")
        for d in experiment.datasets
        for b in experiment.backbones
    ]
    return [place for place in places if place[2].is_file()]


def draw(experiment: Experiment, kind: str) -> list[Html]:
    """The figures of one kind that exist; only the first explains how to read them."""
    title, text = KINDS[kind]
    drawn = []
    for dataset, backbone, path in _panels(experiment, kind):
        where = f"{backbone_label(backbone)} on {dataset}"
        caption = f"{where}. {text}" if not drawn else f"{where}, as above."
        drawn.append(figure(path, title, caption, f"{title[:-1]}, {where}"))
    return drawn


def tsne(experiment: Experiment) -> Html:
    """Figure 2 and the cluster scores under it."""
    head = heading("Features: Figure 2", "tsne")
    drawn = draw(experiment, "tsne")
    if not drawn:
        return join([head, absent("No t-SNE figure was drawn, so Figure 2 is left out.")])
    return join([head, *drawn, cluster_scores(experiment)])


def cluster_scores(experiment: Experiment) -> Html:
    """Measures of tightness on the features, from the files beside the figures."""
    names = [
        experiment.folder / "figures" / f"tsne-{d}-{b}.csv"
        for d in experiment.datasets
        for b in experiment.backbones
    ]
    text = dict.fromkeys(("dataset", "backbone", "regime", "variant", "split", "metric"), str)
    frames = [
        pd.read_csv(path, dtype=text, keep_default_na=False, na_values={"value": ["", "nan"]})
        for path in names
        if path.is_file()
    ]
    if not frames:
        return absent("The scores of the features were not written, so their table is left out.")
    frame = pd.concat(frames, ignore_index=True)
    rows, breaks, last = [], [], None
    several = len(experiment.datasets) > 1
    keys = ["dataset", "backbone", "regime", "variant", "seed"]
    for (dataset, backbone, regime, variant, seed), group in frame.groupby(keys, sort=False):
        values = group.set_index("metric")["value"]
        if (dataset, backbone) != last:
            breaks.append(len(rows))
            last = (dataset, backbone)
        found = [(values.get(name), factor, places) for name, (_, factor, places) in SCORES.items()]
        shown = [None if v is None else number(v * factor, places) for v, factor, places in found]
        head = f"{backbone_label(backbone)}, {dataset}" if several else backbone_label(backbone)
        rows.append([head, label(regime + variant), str(seed), *shown, number(int(group["n"].iloc[0]))])
    return table(
        ["Backbone", "Regime", "Seed", *(head for head, _, _ in SCORES.values()), "Images"],
        rows,
        label="Cluster scores",
        stub=2,
        breaks=breaks,
        caption="How tight the classes lie, measured on the features",
        notes=[
            "↑ higher is tighter, ↓ lower is tighter. kNN hit: share of the nearest images that are of the same class. "
            "Within / between: mean distance to the own class centre over that between centres. Features of different backbones are not comparable."
        ],
    )


def _section(experiment: Experiment, kind: str, title: str, missing: str) -> Html:
    drawn = draw(experiment, kind)
    return join([heading(title, slug(kind)), *(drawn or [absent(missing)])])


def reliability(experiment: Experiment) -> Html:
    """Reliability diagrams."""
    return _section(experiment, "reliability", "Reliability diagrams", "No reliability diagram was drawn.")


def curves(experiment: Experiment) -> Html:
    """Learning curves."""
    return _section(experiment, "curves", "Learning curves", "No learning curve was drawn.")


def matrix(experiment: Experiment) -> Html:
    """Heat maps of the matrices that regimes learn."""
    online = [run for run in experiment.run_names if naming.split_name(run)[0].startswith("ols")]
    missing = (
        "No heat map was drawn."
        if online
        else "No run of this experiment learns a matrix of soft labels (OLS), so there is none to show."
    )
    return _section(experiment, "matrix", "Soft-label matrices", missing)
