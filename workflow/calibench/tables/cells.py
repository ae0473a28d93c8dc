"""The cells of printed tables: our mean over seeds, and the number printed in a paper."""

from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from calibench.backbones.names import backbone_label
from calibench.errors import UserError
from calibench.metrics.labels import METRICS
from calibench.published.printed import Published
from calibench.regimes.catalog import label
from calibench.tables.arrange import Key
from calibench.tables.grid import EMPTY

# the papers do not say whether with batch norm, nor which ShuffleNet
PUBLISHED_AS = {"vgg19_bn": "vgg19", "shufflenet_v2_x1_0": "shufflenet"}


class Delta(NamedTuple):
    """A paired difference with its interval, as fractions (NLL in nats); NaN bounds where there is none."""

    difference: float
    low: float
    high: float


class Numbers:
    """Looks up cells: ours over seeds, and the published ones.

    Args:
        metrics: the long table of an experiment (columns :data:`calibench.tables.long.METRICS`).
        settings: see :func:`calibench.tables.layouts.check_settings`.
        published: of :func:`calibench.published.printed.read_published`.
        posthoc: the long table after post-hoc calibration; its `temperature` rows are runs `…@temperature`.
        contrasts: contrasts.csv, for :meth:`difference_to`.
        ensembles: the long table of ensembles of epochs, whose `snapshots6` rows are runs `…@snapshots6`.
        printed_as: {run or first part of its name: name in the paper}, if the names differ.

    Raises:
        UserError: the table has a run, seed and measure twice.
    """

    def __init__(
        self,
        metrics: pd.DataFrame,
        settings: dict[str, Any],
        published: Published | None,
        posthoc: pd.DataFrame | None = None,
        contrasts: pd.DataFrame | None = None,
        ensembles: pd.DataFrame | None = None,
        printed_as: dict[str, str] | None = None,
    ) -> None:
        self.settings, self.published, self.contrasts = settings, published, contrasts
        self.printed_as = printed_as or {}
        self.shown: set[Key] = set()  # published cells in the table
        self.partial: dict[tuple[str, str, str], tuple[int, int]] = {}
        tested = metrics[metrics["split"] == "test"]
        self.images = tested.groupby("dataset")["n"].max().astype(int).to_dict()
        self.values = self._cells(tested, "")
        for split in settings.get("sets", ()):
            self.values |= self._cells(metrics[metrics["split"] == f"test@{split}"], f"@{split}")
        fitted = None if posthoc is None else posthoc.query("calibrator == 'temperature' and split == 'test'")
        self.rescaled = fitted is not None and len(fitted) > 0
        if self.rescaled:
            self.values |= self._cells(fitted, "@temperature")
        if ensembles is not None:
            for name, rows in ensembles.groupby("calibrator"):
                self.values |= self._cells(rows[rows["split"] == "test"], f"@{name}")
        errors = {key: error for key, error in self.values.items() if key[3] == "top1_error"}
        self.values |= {(*key[:3], "accuracy"): 1 - error for key, error in errors.items()}

    def _cells(self, table: pd.DataFrame, suffix: str) -> dict[Key, np.ndarray]:
        of = [self.settings["checkpoint"], "epochs"]  # an ensemble of epochs has no single checkpoint
        rows = table[table["checkpoint"].isin(of)]
        if self.settings["seeds"]:
            rows = rows[rows["seed"].isin(self.settings["seeds"])]
        rows = rows.assign(run=rows["regime"] + rows["variant"] + suffix)
        keys = ["dataset", "backbone", "run", "metric"]
        if rows.duplicated([*keys, "seed"]).any():
            raise UserError("the metrics table has the same run, seed and metric twice; collect it again")
        return {key: group.to_numpy() for key, group in rows.groupby(keys)["value"]}

    def ours(self, dataset: str, backbone: str, run: str, metric: str) -> np.ndarray:
        """Values over seeds, (S,), S = 0 if there are none; missing values are noted in ``partial``.

        ``a - b`` are the differences of two runs, seed by seed. A run or backbone that is only in the paper is not
        missing.
        """
        first, minus, second = run.partition(" - ")
        if minus:
            pair = [self.ours(dataset, backbone, name, metric) for name in (first, second)]
            return pair[0] - pair[1] if len(pair[0]) == len(pair[1]) else np.empty(0)
        if run.partition("@")[0] not in self.settings["runs"] or backbone not in self.settings["backbones"]:
            return np.empty(0)
        values = self.values.get((dataset, backbone, run, metric), np.empty(0))
        asked = max(len(self.settings["seeds"]), 1)
        if len(values) < asked:
            self.partial[dataset, backbone, run] = (len(values), asked)
        return values[~np.isnan(values)]  # NaN: undefined, as AUROC without images of a class

    def places(self, dataset: str, metric: str) -> int:
        """Decimals for numbers of this data set in the unit of the table."""
        return digits(metric, self.images.get(dataset))

    def difference_to(self, reference: str = "hard") -> dict[Key, Delta]:
        """Every run minus ``reference`` (a tempered run minus the tempered reference), with its interval.

        Data set and backbone in the key are empty for the pooled difference. Empty before the stage contrasts has run.
        """
        if self.contrasts is None:
            return {}
        rows = self.contrasts[self.contrasts["family"] == "hard"].fillna({"dataset": "", "backbone": ""})
        plain = rows["reference"].str.partition("@")[0] == reference
        return {
            (row.dataset, row.backbone, row.run, row.metric): Delta(row.difference, row.low, row.high)
            for row in rows[plain].itertuples()
        }

    def theirs(self, dataset: str, backbone: str, run: str, metric: str) -> str | None:
        """The printed text, if the paper has this cell for a data set with this name."""
        name = self.published.dataset_for(dataset) if self.published else None
        if name is None:
            return None
        first, minus, second = run.partition(" - ")
        if minus:
            pair = [self.theirs(dataset, backbone, each, metric) for each in (first, second)]
            return None if None in pair else str(Decimal(pair[0]) - Decimal(pair[1]))
        key = (name, PUBLISHED_AS.get(backbone, backbone), self._printed_name(run), metric)
        if key not in self.published.cells:
            return None
        self.shown.add(key)
        return self.published.cells[key]

    def _printed_name(self, run: str) -> str:
        for ours, theirs in self.printed_as.items():
            if run == ours or run.startswith((f"{ours}+", f"{ours}@")):
                return theirs + run.removeprefix(ours)
        return run

    def notes(self) -> list[str]:
        """Notes below the table: missing numbers, and the source of published ones."""
        notes, missing = [], {}
        for (dataset, backbone, run), (have, asked) in sorted(self.partial.items()):
            name, _, calibrator = run.partition("@")
            if have:
                what = f"{dataset}, {backbone_label(backbone)}, {label(name)}"
                notes.append(f"Partial: {have} of {asked} seeds for {what}.")
            elif not calibrator:  # otherwise the run is in the list already
                missing.setdefault((dataset, backbone), []).append(label(name))
        for (dataset, backbone), names in missing.items():
            notes.append(f"Missing: {dataset}, {backbone_label(backbone)}: {', '.join(names)}.")
        if self.published is not None:
            notes.append(self._published_note(self.published))
        return notes

    def _published_note(self, published: Published) -> str:
        if self.shown:
            names = ", ".join(sorted({key[0] for key in self.shown}))
            how = "accuracy and error as 100 − the other" if self.shown & published.derived else "as printed"
            return (
                f"Published: {published.paper} on {names}, {how}; difference = ours − published; meaningful only for "
                "the same data, split and sampling."
            )
        if any(published.dataset_for(name) for name in self.settings["datasets"]):
            return f"{published.paper} prints none of these numbers for these backbones and regimes."
        return (
            f"Published numbers of {published.paper} are for {', '.join(published.datasets())}; "
            "no data set of this experiment has that name, so none are shown."
        )


def digits(metric: str, n: int | None) -> int:
    """Meaningful decimals of a measure on n test images, in the unit of the tables; without n the largest number.

    The last decimal is not finer than a twentieth of the standard error s/√n of the mean, where s is 0.4 for a share
    (an error of 20 %) and 1 nat for NLL: as a fraction two decimals below 400 images, three from there, four from
    40,000 (NLL: 2,500 and 250,000). Per cent have two fewer, but at least one. They depend only on n, so that all
    numbers of a column have the same.
    """
    _, factor, places = METRICS[metric]
    if not n:
        return places
    spread = 1.0 if metric == "nll" else 0.4
    finest = -np.log10(spread / np.sqrt(n) / 20)
    return max(1, int(np.clip(np.floor(finest + 1e-9), 2, 4) - np.log10(factor)))


def show(values: np.ndarray, metric: str, places: int | None = None) -> str:
    """``24.27`` or, over several seeds, ``24.27 ± 0.31`` (sample standard deviation)."""
    _, factor, most = METRICS[metric]
    places = most if places is None else places
    if not len(values):
        return EMPTY
    mean = f"{values.mean() * factor:.{places}f}"
    return f"{mean} ± {values.std(ddof=1) * factor:.{places}f}" if len(values) > 1 else mean


def difference(values: np.ndarray, printed: str | None, metric: str, places: int | None = None) -> str:
    """Ours − published in the printed unit, with sign; a dash if one is missing."""
    _, factor, most = METRICS[metric]
    places = most if places is None else places
    if not len(values) or printed is None:
        return EMPTY
    text = f"{values.mean() * factor - float(printed):+.{places}f}"
    return text.replace("-", "−")


def lines(numbers: Numbers, keys: list[tuple[str, str, str, str]]) -> list[tuple[str, list[str]]]:
    """The printed lines of one row of cells: ours, and below it published and difference if they exist."""
    ours = [numbers.ours(*key) for key in keys]
    theirs = [numbers.theirs(*key) for key in keys]
    metrics = [(key[3], numbers.places(key[0], key[3])) for key in keys]
    out = [("ours", [show(v, *m) for v, m in zip(ours, metrics, strict=True)])]
    if any(t is not None for t in theirs):
        paper = numbers.published.paper if numbers.published else ""
        out.append((f"published ({paper})", [EMPTY if t is None else t for t in theirs]))
        delta = [difference(v, t, *m) for v, t, m in zip(ours, theirs, metrics, strict=True)]
        out.append(("difference", delta))
    return out
