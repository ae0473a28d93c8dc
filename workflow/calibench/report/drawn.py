"""The figures that were drawn, and the scores beside Figure 2."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from calibench.regimes.catalog import label
from calibench.report import words
from calibench.report.experiment import Experiment

SCORES = {"silhouette": (1, 3), "davies_bouldin": (1, 2), "knn_hit": (100, 1), "within_between": (1, 3)}


class Figure(NamedTuple):
    """A file, and the data set and backbone it shows in words."""

    path: Path
    where: str


def whole(x: Experiment, kind: str) -> Path | None:
    """A figure of the whole experiment, if it was drawn."""
    path = x.folder / "figures" / f"{kind}.png"
    return path if path.is_file() else None


def of(x: Experiment, kind: str) -> list[Figure]:
    """The figures of one kind that exist, one per data set and backbone."""
    found = [(x.folder / "figures" / f"{kind}-{d}-{b}.png", x.where(d, b)) for d, b in x.places]
    return [Figure(path, where) for path, where in found if path.is_file()]


def scores(x: Experiment) -> list[list[str]]:
    """Place, run, seed, the scores of :data:`SCORES` and the number of images of each panel of Figure 2."""
    rows = []
    for dataset, backbone in x.places:
        path = x.folder / "figures" / f"tsne-{dataset}-{backbone}.csv"
        if not path.is_file():
            continue
        text = dict.fromkeys(("regime", "variant", "metric"), str)
        frame = pd.read_csv(path, dtype=text, keep_default_na=False, na_values={"value": ["", "nan"]})
        for (regime, variant, seed), part in frame.groupby(["regime", "variant", "seed"], sort=False):
            values = part.set_index("metric")["value"]
            cells = [
                words.fixed(values.get(m, float("nan")) * factor, places)
                for m, (factor, places) in SCORES.items()
            ]
            head = [x.where(dataset, backbone), label(regime + variant), str(seed)]
            rows.append([*head, *cells, words.number(int(part["n"].iloc[0]))])
    return rows
