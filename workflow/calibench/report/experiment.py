"""What a report is made from: the files of one experiment, read once, nothing computed."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from calibench import __version__
from calibench.backbones.names import backbone_label
from calibench.errors import UserError
from calibench.files import read_json
from calibench.finished import names
from calibench.planning import naming
from calibench.planning.externals import external_runs
from calibench.planning.plan import Plan
from calibench.published import printed_file
from calibench.published.printed import read_published
from calibench.regimes.catalog import RegimeInfo, catalog, label
from calibench.tables.cells import Numbers
from calibench.tables.long import read_long

TEXT = ["dataset", "backbone", "regime", "variant", "run", "reference", "stratum", "detail"]
TEXT += ["name", "fact", "class", "taken_for", "verdict", "non_inferior"]


@dataclass(frozen=True)
class Run:
    """One planned run and, once it has finished, its record (``run.json``)."""

    dataset: str
    backbone: str
    name: str
    seed: int
    folder: Path
    record: dict[str, Any] | None

    @property
    def label(self) -> str:
        """Regime and variants as tables name them."""
        return label(self.name)

    def measured(self, key: str) -> Any:
        """What the finished run measured of itself, such as ``training_seconds``; None where it did not."""
        return self.record.get("provenance", {}).get(key)

    @property
    def title(self) -> str:
        """All that tells it from other runs."""
        return f"{self.dataset}, {backbone_label(self.backbone)}, {self.label}, seed {self.seed}"


@dataclass(frozen=True)
class Experiment:
    """Where everything is.

    Args:
        folder: results/<experiment>.
        config: the completed configuration.
        version: of this software.
        stores: dataset → folder of its decoded store, as far as given.
    """

    folder: Path
    config: dict[str, Any]
    version: str
    stores: dict[str, Path]

    @functools.cached_property
    def plan(self) -> Plan:
        """Which runs the configuration asks for."""
        return Plan(self.config)

    @property
    def datasets(self) -> list[str]:
        """Names of the data sets that runs are trained on."""
        return naming.trained_on(self.config)

    @property
    def backbones(self) -> list[str]:
        """Names of the backbones, as in the config."""
        return self.config["backbones"]

    @property
    def checkpoint(self) -> str:
        """Whose predictions are shown."""
        return self.config["tables"]["checkpoint"]

    @property
    def run_names(self) -> list[str]:
        """Regimes with their variants, braces expanded."""
        return [*self.plan.runs, *external_runs(self.config)]

    @functools.cached_property
    def regimes(self) -> dict[str, RegimeInfo]:
        """The regimes that take part, in the order of the config."""
        used = dict.fromkeys(naming.split_name(run)[0] for run in self.run_names)
        return {name: catalog()[name] for name in used if name in catalog()}

    @functools.cached_property
    def runs(self) -> list[Run]:
        """All planned runs."""
        found = []
        for key in [*self.plan.all_runs, *self.plan.external_files]:
            folder = Path(names.run_folder(str(self.folder), *key))
            path = folder / names.RECORD
            found.append(Run(*key, folder, read_json(path) if path.is_file() else None))
        return found

    @property
    def finished(self) -> list[Run]:
        """Runs with a record."""
        return [run for run in self.runs if run.record is not None]

    @property
    def trained(self) -> list[Run]:
        """Runs with a record that were trained here; the others are predictions of other programs."""
        return [run for run in self.finished if "external" not in run.record]

    @property
    def given(self) -> list[Run]:
        """Finished runs that are predictions of other programs."""
        return [run for run in self.finished if "external" in run.record]

    @property
    def missing(self) -> list[Run]:
        """Planned runs without a record."""
        return [run for run in self.runs if run.record is None]

    @functools.cached_property
    def _long(self) -> pd.DataFrame | None:
        path = self.folder / "metrics.csv"
        return read_long(path) if path.is_file() else None

    @functools.cached_property
    def metrics(self) -> pd.DataFrame | None:
        """The long table of all runs without evaluation sets besides test, or None."""
        return None if self._long is None else _of_test(self._long)

    @property
    def shown(self) -> pd.DataFrame | None:
        """Its rows on test at the checkpoint that is shown, or None."""
        rows = self.metrics
        if rows is None:
            return None
        return rows[(rows["split"] == "test") & (rows["checkpoint"] == self.checkpoint)]

    @property
    def published_file(self) -> Path | None:
        """The CSV with the printed numbers the config names, if it is there."""
        name = self.config["tables"]["published"]
        path = printed_file(name) if name else None
        return path if path and path.is_file() else None

    def numbers(self, layout: dict[str, Any] | None = None) -> Numbers | None:
        """Looks up cells of one table and remembers what is missing in it; None without metrics.

        Args:
            layout: of a table that the config describes: which printed numbers it has.
        """
        if self.metrics is None:
            return None
        layout = layout or {}
        published = (
            read_published(self.published_file, layout.get("printed")) if self.published_file else None
        )
        more = [self.frame(f"{name}.csv") for name in ("posthoc", "contrasts", "snapshots")]
        return Numbers(self._long, self.plan.tables_settings(), published, *more, layout.get("printed_as"))

    def frame(self, name: str, sets: bool = False) -> pd.DataFrame | None:
        """A CSV of the experiment (or those of this name of all its runs together) in the order of the config.

        Rows of data sets, backbones and runs that the config does not name are left out; with ``sets`` other evaluation
        sets than test and seed ensembles are kept. ``name``: regime and variant of a row; empty data set and backbone:
        all of them together. None if there are no rows.
        """
        paths = [self.folder / name]
        if not paths[0].is_file():
            paths = [run.folder / name for run in self.finished if (run.folder / name).is_file()]
        frames = [frame if sets else _of_test(frame) for frame in map(_read, paths)]
        frames = [frame for frame in frames if len(frame)]
        if not frames:
            return None
        frame = pd.concat(frames, ignore_index=True)
        place = [self._places.get(key) for key in zip(frame["dataset"], frame["backbone"], strict=True)]
        frame = frame.assign(place=place, turn=0)
        if "regime" in frame:
            frame["name"] = frame["regime"] + frame["variant"]
            turns = {name: i for i, name in enumerate(self.run_names)}
            frame["turn"] = frame["name"].str.partition("@")[0].map(turns)
        frame = frame.dropna(subset=["place", "turn"]).sort_values(["place", "turn"], kind="stable")
        return None if frame.empty else frame.drop(columns=["place", "turn"]).reset_index(drop=True)

    def parts(
        self, file: str, *more: str, sets: bool = False
    ) -> Iterator[tuple[list[str], pd.DataFrame, int | None]]:
        """([place, run, values of the columns ``more``], rows, test images) of every run in a long table."""
        frame = self.frame(file, sets)
        groups = () if frame is None else frame.groupby(["dataset", "backbone", "name", *more], sort=False)
        for (dataset, backbone, name, *rest), part in groups:
            yield [self.where(dataset, backbone), label(name), *map(str, rest)], part, self.tested(dataset)

    @functools.cached_property
    def _places(self) -> dict[tuple[str, str], int]:
        return {("", ""): -1} | {place: i for i, place in enumerate(product(self.datasets, self.backbones))}

    @property
    def places(self) -> list[tuple[str, str]]:
        """(data set, backbone), in the order of the config."""
        return list(product(self.datasets, self.backbones))

    def where(self, dataset: str, backbone: str) -> str:
        """A place in words; the data set is named where there are several."""
        if not backbone:
            return "All"
        name = backbone_label(backbone)
        return f"{name}, {dataset}" if len(self.datasets) > 1 else name

    def tested(self, dataset: str = "") -> int | None:
        """Test images of a data set, or of all together: what the decimals of a number follow."""
        return self._tested.get(dataset, sum(self._tested.values()) or None)

    @functools.cached_property
    def _tested(self) -> dict[str, int]:
        return {} if self.shown is None else self.shown.groupby("dataset")["n"].max().astype(int).to_dict()

    def store_json(self, dataset: str, name: str) -> dict[str, Any]:
        """A JSON file of a data set's store; empty where there is none."""
        path = self.stores[dataset] / name if dataset in self.stores else None
        return read_json(path) if path and path.is_file() else {}

    def classes(self, dataset: str) -> pd.DataFrame | None:
        """classes.csv of a data set's store (target, label, train, val, test), or None."""
        path = self.stores[dataset] / "classes.csv" if dataset in self.stores else None
        if path is None or not path.is_file():
            return None
        return pd.read_csv(path, dtype={"label": str}, keep_default_na=False)


def _read(path: Path) -> pd.DataFrame:
    """A long table; its texts are never missing, only empty."""
    frame = pd.read_csv(path, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=["", "nan"])
    texts = {column: "" for column in TEXT if column in frame}
    return frame.fillna(texts)


def _of_test(frame: pd.DataFrame) -> pd.DataFrame:
    """Without evaluation sets besides test, and without derived runs (ensembles)."""
    others = pd.Series(False, index=frame.index)
    if "split" in frame:
        others |= frame["split"].astype(str).str.startswith(names.SET)
    if "variant" in frame:
        others |= frame["variant"].astype(str).str.contains("@")
    return frame[~others]


def open_experiment(
    folder: str | Path, settings: dict[str, Any], stores: list[str | Path] = ()
) -> Experiment:
    """Open an experiment for a report.

    Args:
        folder: results/<experiment>.
        settings: {"config": completed configuration, "version": of this software (default: this one)}.
        stores: folders of decoded stores, in any order.

    Raises:
        UserError: if the folder or the config is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"--experiment-dir {folder} is no folder; run the experiment first")
    if not isinstance(settings.get("config"), dict):
        raise UserError("--settings lacks config, the completed configuration of the experiment")
    config = settings["config"]
    by_name = {Path(path).name: Path(path) for path in stores}
    try:
        named = {dataset: naming.store_name(config, dataset) for dataset in config["datasets"]}
    except KeyError as error:
        raise UserError(
            f"--settings: config lacks {error}; complete it with this version's calibench.planning.configuration"
        ) from error
    found = {dataset: by_name[name] for dataset, name in named.items() if name in by_name}
    return Experiment(folder, config, str(settings.get("version") or __version__), found)
