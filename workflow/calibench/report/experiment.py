"""What a report is made from: the files of one experiment, read once, nothing computed."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from calibench import __version__
from calibench.backbones.names import backbone_label
from calibench.errors import UserError
from calibench.files import read_json
from calibench.finished.names import SET
from calibench.finished.snapshots import sizes
from calibench.planning import naming, sweeping
from calibench.published import printed_file
from calibench.published.printed import Published, read_published
from calibench.regimes.catalog import RegimeInfo, catalog, label
from calibench.tables.cells import Numbers
from calibench.tables.long import read_long


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

    @property
    def title(self) -> str:
        """All that tells it from other runs."""
        return f"{self.dataset}, {backbone_label(self.backbone)}, {self.label}, seed {self.seed}"

    @functools.cached_property
    def history(self) -> pd.DataFrame:
        """One row per epoch; empty where there is none."""
        path = self.folder / "history.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        return pd.DataFrame([json.loads(line) for line in lines if line.strip()])


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

    @property
    def datasets(self) -> list[str]:
        """Names of the data sets that runs are trained on."""
        return naming.trained_on(self.config)

    @property
    def backbones(self) -> list[str]:
        """Names of the backbones, as in the config."""
        return self.config["backbones"]

    @functools.cached_property
    def run_names(self) -> list[str]:
        """Regimes with their variants, braces expanded."""
        return sweeping.run_names(self.config)

    @functools.cached_property
    def regimes(self) -> dict[str, RegimeInfo]:
        """The regimes that take part, in the order of the config."""
        names = dict.fromkeys(naming.split_name(run)[0] for run in self.run_names)
        return {name: catalog()[name] for name in names if name in catalog()}

    @functools.cached_property
    def runs(self) -> list[Run]:
        """All planned runs."""
        found = []
        for dataset in self.datasets:
            for backbone in self.backbones:
                for name in self.run_names:
                    for seed in self.config["seeds"]:
                        folder = self.folder / dataset / backbone / name / f"seed{seed}"
                        path = folder / "run.json"
                        record = read_json(path) if path.is_file() else None
                        found.append(Run(dataset, backbone, name, seed, folder, record))
        return found

    @property
    def finished(self) -> list[Run]:
        """Runs with a record."""
        return [run for run in self.runs if run.record is not None]

    @property
    def missing(self) -> list[Run]:
        """Planned runs without a record."""
        return [run for run in self.runs if run.record is None]

    @functools.cached_property
    def metrics(self) -> pd.DataFrame | None:
        """The long table of all trained runs without evaluation sets besides test, or None."""
        path = self.folder / "metrics.csv"
        return _of_test(read_long(path)) if path.is_file() else None

    @property
    def table_settings(self) -> dict[str, Any]:
        """What the stage ``tables`` reads."""
        tables = self.config["tables"]
        return {
            "datasets": self.datasets,
            "backbones": self.backbones,
            "runs": self.run_names,
            "seeds": self.config["seeds"],
            "checkpoint": tables["checkpoint"],
            "published": tables["published"],
            "layouts": tables["layouts"],
            "snapshots": sizes(self.config["train"]["snapshots"]),
        }

    @property
    def published_file(self) -> Path | None:
        """The CSV with the printed numbers the config names, if it is there."""
        name = self.config["tables"]["published"]
        path = printed_file(name) if name else None
        return path if path and path.is_file() else None

    @functools.cached_property
    def published(self) -> Published | None:
        """The printed numbers, or None."""
        path = self.published_file
        return read_published(path) if path else None

    def numbers(self, layout: dict[str, Any] | None = None) -> Numbers | None:
        """Looks up cells of one table and remembers what is missing in it; None without metrics.

        Args:
            layout: of a table that the config describes: which printed numbers it has.
        """
        if self.metrics is None:
            return None
        frames = {}
        for name in ("posthoc", "snapshots"):
            frame = self.frame(f"{name}.csv")
            frames[name] = None if frame is None else frame.assign(variant=frame["variant"].fillna(""))
        published, printed_as = self.published, None
        if layout is not None and self.published_file:
            published = read_published(self.published_file, layout.get("printed"))
            printed_as = layout.get("printed_as")
        contrasts = self.frame("contrasts.csv")
        return Numbers(
            self.metrics,
            self.table_settings,
            published,
            frames["posthoc"],
            contrasts,
            frames["snapshots"],
            printed_as,
        )

    def frame(self, name: str, sets: bool = False) -> pd.DataFrame | None:
        """A CSV of the experiment, or the CSVs of this name of all its runs together; None if there
        are none. Rows on evaluation sets besides test only with ``sets``, derived runs never without.
        """
        paths = [self.folder / name]
        if not paths[0].is_file():
            paths = [run.folder / name for run in self.finished if (run.folder / name).is_file()]
        text = dict.fromkeys(["dataset", "backbone", "regime", "variant", "run", "reference", "stratum"], str)
        frames = [
            pd.read_csv(path, dtype=text, keep_default_na=False, na_values=["", "nan"]) for path in paths
        ]
        frames = [frame if sets else _of_test(frame) for frame in frames]
        frames = [frame for frame in frames if len(frame)]
        return pd.concat(frames, ignore_index=True) if frames else None

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


def _of_test(frame: pd.DataFrame) -> pd.DataFrame:
    """Without evaluation sets besides test, and without derived runs (ensembles)."""
    others = pd.Series(False, index=frame.index)
    if "split" in frame:
        others |= frame["split"].astype(str).str.startswith(SET)
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
        names = {dataset: naming.store_name(config, dataset) for dataset in config["datasets"]}
    except KeyError as error:
        raise UserError(
            f"--settings: config lacks {error}; complete it with this version's calibench.planning.configuration"
        ) from error
    found = {dataset: by_name[name] for dataset, name in names.items() if name in by_name}
    return Experiment(folder, config, str(settings.get("version") or __version__), found)
