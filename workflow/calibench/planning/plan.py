"""One experiment as files: its runs, their folders, and the settings of each. No Snakemake."""

import functools
import re
from pathlib import Path
from typing import Any

from calibench.extensions import brought
from calibench.figures import ALL_SEEDS, ENOUGH, NEEDS, OF_PREDICTIONS, OPTIONAL, WHOLE
from calibench.files import sha256_of
from calibench.finished import names
from calibench.finished.sets import evaluation_sets
from calibench.finished.snapshots import sizes
from calibench.planning import features, fingerprint, naming, protection, settings, sweeping
from calibench.planning.externals import external_files, external_runs
from calibench.planning.sets import derived_runs
from calibench.regimes import parts
from calibench.regimes.catalog import catalog


class Plan:
    """All runs and files of an experiment.

    Args:
        config: the completed and checked configuration.
        results: the folder of all results; another one in a module with a prefix.
    """

    def __init__(self, config: dict[str, Any], results: str = "results") -> None:
        self.config, self.results = config, results
        self.folder = f"{results}/{config['name']}"
        self.runs = sweeping.run_names(config)
        self.store_of = {dataset: naming.store_name(config, dataset) for dataset in config["datasets"]}
        self.dataset_of = {store: dataset for dataset, store in self.store_of.items()}
        self.datasets = naming.trained_on(config)
        self.external_files = external_files(config, self.datasets)
        self.sets = evaluation_sets(config["evaluate_on"])

    def run_dir(self, dataset: str, backbone: str, run: str, seed: int | str) -> str:
        """Folder of a run."""
        return names.run_folder(self.folder, dataset, backbone, run, seed)

    def store_dir(self, dataset: str) -> str:
        """Folder of the store of a data set, shared by all experiments."""
        return f"{self.results}/store/{self.store_of[dataset]}"

    @functools.cached_property
    def all_runs(self) -> list[tuple[str, str, str, int]]:
        """(dataset, backbone, run, seed) of every run of the experiment."""
        return [
            (dataset, backbone, run, seed)
            for dataset in self.datasets
            for backbone in self.config["backbones"]
            for run in self.runs
            for seed in self.config["seeds"]
        ]

    def pretrained(self) -> list[str]:
        """Weights files to download, also those of runs that other runs need."""
        needed = settings.needed_runs(self.config)
        return sorted({file for backbone, run in needed for file in self.weights_of(backbone, run, True)})

    def regimes_needed(self) -> set[str]:
        """Regimes of all runs of the experiment and of those they build on."""
        return {naming.split_name(run)[0] for _, run in settings.needed_runs(self.config)}

    def weights_of(self, backbone: str, run: str, imagenet: bool = False) -> list[str]:
        """The file with the initial weights of a run, if there is one; with ``imagenet`` only a downloaded one."""
        weights = settings.part_of(self.config, "model", backbone, naming.split_name(run)[1])["weights"]
        if weights == "imagenet":
            return [f"{self.results}/weights/{backbone}-imagenet.pth"]
        return [] if weights == "none" or imagenet else [weights]

    def regime_modules(self, backbone: str, run: str) -> list[str]:
        """Modules of the regime of a run, and of its parts."""
        return parts.modules(*settings.settings_of_regime(self.config, run, backbone))

    def training_code(self, backbone: str, run: str) -> str:
        """Fingerprint of the code behind the result of a run."""
        frozen = ["calibench.stages.features"] if features.is_frozen(self.config, backbone, run) else []
        network = [item.module for name, item in brought("backbones").items() if name == backbone]
        return fingerprint.of_modules(
            "calibench.stages.train", *frozen, *network, *self.regime_modules(backbone, run)
        )

    def run_settings(self, dataset: str, backbone: str, run: str, seed: int | str) -> dict[str, Any]:
        """All settings of one training run, with paths of pretrained weights.

        A protected run that differs only in its code keeps the code it was made with.
        """
        found = settings.settings_of(self.config, run, dataset, backbone, int(seed))
        if weights := self.weights_of(backbone, run):
            found["model"] = found["model"] | {"weights": weights[0]}
        noise = found["data"]["noise"]
        if Path(noise).is_file():  # its content matters, not its time
            found["data"] = found["data"] | {"noise_sha256": sha256_of(noise)}
        code = self.training_code(backbone, run)
        found |= {"store": self.store_of[dataset], "code": code}
        if name := features.folder_of(self.config, dataset, backbone, run):
            size = features.settings_of_features(self.config, dataset, backbone, run)["input_size"]
            found |= {"train": found["train"] | {"input_size": size}, "features": name}
        if not self.config["protect"]:
            return found
        record = Path(self.run_dir(dataset, backbone, run, seed), names.RECORD)
        return protection.with_recorded_code(record, found)

    def other_runs(self, dataset: str, backbone: str, run: str, seed: int | str) -> dict[str, str]:
        """Folders of the runs that a run needs, by the setting that names each."""
        keys = settings.runs_named(self.config, run, backbone)
        found = {key: settings.other_run(self.config, run, backbone, key) for key in keys}
        return {key: self.run_dir(dataset, other, name, seed) for key, (other, name) in found.items()}

    def audited(self, store: str) -> bool:
        """Whether the data set of a store is audited."""
        data = self.config["datasets"][self.dataset_of[store]]
        return data["audit"]["enabled"] and data["format"] != "embeddings"  # it looks at pixels

    def kept_code(self, store: str) -> dict[str, str]:
        """Code that made a protected store, by stage; nothing if the store must be made, or made again.

        Keeping a store although the code is newer also avoids a problem of Snakemake: after a job that has to run, it
        does not look for changes behind `ancient` files, so tables would be updated only by the next command.
        """
        if not self.config["protect"]:
            return {}
        return protection.kept_code(Path(self.results, "store", store), self.audited(store))

    def data_settings(self, store: str, stage: str) -> dict[str, Any]:
        """The settings of one data stage, with the code that made or would make its result."""
        code = self.kept_code(store).get(stage) or fingerprint.of_modules(f"calibench.stages.{stage}")
        return {**naming.data_settings(self.config, self.dataset_of[store]), "code": code}

    @functools.cache  # noqa: B019 - one plan lives as long as its process
    def has_finished_runs(self, dataset: str) -> bool:
        """Whether any run was trained on this data set."""
        return any(Path(self.folder, dataset).glob(f"*/*/seed*/{names.RECORD}"))

    def finished(self, folders: list[str]) -> list[str]:
        """The folders of runs; with ``partial: true`` only those of finished runs."""
        if not self.config["partial"]:
            return folders
        return [folder for folder in folders if Path(folder, names.RECORD).exists()]

    def files_of_runs(self, file: str, dataset: str | None = None) -> list[str]:
        """A file of every run of the experiment, or of one data set."""
        folders = [self.run_dir(*run) for run in self.all_runs if dataset in (None, run[0])]
        return [f"{folder}/{file}" for folder in self.finished(folders)]

    def files_of_datasets(self, file: str) -> list[str]:
        """A file of every data set with runs."""
        return [f"{self.folder}/{name}/{file}" for name in self.store_of if self.files_of_runs(file, name)]

    def members(self, dataset: str, backbone: str, run: str) -> list[str]:
        """Folders of a run's seeds; with ``partial: true`` of the finished ones."""
        return self.finished([self.run_dir(dataset, backbone, run, seed) for seed in self.config["seeds"]])

    def analysed_together(self, dataset: str, backbone: str, run: str) -> list[str]:
        """Folders whose long tables are made by one job: all seeds of a run, or one seed ensemble."""
        if "@" in run:
            return [self.run_dir(dataset, backbone, run, 0)]
        if run in external_runs(self.config):
            return [self.run_dir(*key) for key in self.external_files if key[:3] == (dataset, backbone, run)]
        return self.members(dataset, backbone, run)

    def analysed(self, file: str, ensembles: bool = True) -> list[str]:
        """A long table of every run over its seeds, of predictions of other programs, then of every seed ensemble."""
        places = [run[:3] for run in self.all_runs if self.finished([self.run_dir(*run)])]
        places += [run[:3] for run in self.external_files] + (self.ensembles() if ensembles else [])
        return [f"{self.folder}/{'/'.join(place)}/{file}" for place in dict.fromkeys(places)]

    def ensembles(self) -> list[tuple[str, str, str]]:
        """(data set, backbone, name) of every seed ensemble that has two members."""
        return [
            (dataset, backbone, name)
            for dataset in self.datasets
            for backbone in self.config["backbones"]
            for name, (run, _) in derived_runs(self.config).items()
            if len(self.members(dataset, backbone, run)) > 1
        ]

    def derived(self, file: str, dataset: str | None = None) -> list[str]:
        """A file of every seed ensemble of the experiment, or of one data set, in the folder of a run with seed 0."""
        return [
            f"{self.run_dir(*place, 0)}/{file}" for place in self.ensembles() if dataset in (None, place[0])
        ]

    def external(self, file: str, dataset: str | None = None, backbone: str | None = None) -> list[str]:
        """A file of every run that is made of predictions of other programs."""
        return [
            f"{self.run_dir(*run)}/{file}"
            for run in self.external_files
            if dataset in (None, run[0]) and backbone in (None, run[1])
        ]

    @property
    def set_files(self) -> list[str]:
        """Files of the evaluation sets besides test, relative to a run's folder."""
        return names.set_files(self.config["tables"]["checkpoint"], self.sets)

    def site_files(self, dataset: str) -> list[str]:
        """The matched index of each site for runs on this data set."""
        return [f"{self.folder}/{dataset}/sites/{site}.csv" for site in self.config["evaluate_on"]["sites"]]

    def tables_settings(self) -> dict[str, Any]:
        """The settings of the stage ``tables``."""
        tables = self.config["tables"]
        return {key: self.config[key] for key in ("backbones", "seeds")} | {
            "datasets": self.datasets,
            "runs": [*self.runs, *external_runs(self.config)],
            "checkpoint": tables["checkpoint"],
            "published": tables["published"],
            "layouts": tables["layouts"],
            "snapshots": sizes(self.config["train"]["snapshots"]),
            "sets": [name.removeprefix("test@") for name in self.sets],
        }

    def swept(self) -> bool:
        """Whether the experiment sweeps any setting."""
        return bool(sweeping.swept(self.config))

    def table_files(self, *endings: str) -> list[str]:
        """Files of the tables in ``tables.layouts``."""
        layouts = self.config["tables"]["layouts"]
        return [f"{self.folder}/tables/{item['name']}.{ending}" for item in layouts for ending in endings]

    def sweep_settings(self) -> dict[str, Any]:
        """The settings of the stage ``sweep``."""
        return {
            "tries": [[t.run, t.base, t.setting, t.value] for t in sweeping.tries(self.config)],
            "by": self.config["sweep"]["by"],
            "checkpoint": self.config["tables"]["checkpoint"],
        }

    def panel_runs(self, kind: str) -> list[str]:
        """Runs in a kind of figure, in the order of the config."""
        if NEEDS[kind] == "noise":
            return [run for run in self.runs if self._noisy(run)]
        if NEEDS[kind] != "matrix":
            return self.runs
        return [run for run in self.runs if catalog()[naming.split_name(run)[0]].shows_matrix]

    def panel_files(self, kind: str, dataset: str, backbone: str, file: str) -> list[str]:
        """A file of every run in one figure (data set and backbone)."""
        seeds = self.config["seeds"] if kind in ALL_SEEDS else self.config["seeds"][:1]
        folders = [self.run_dir(dataset, backbone, run, s) for run in self.panel_runs(kind) for s in seeds]
        files = [f"{folder}/{file}" for folder in self.finished(folders)]
        return files + (self.external(file, dataset, backbone) if kind in OF_PREDICTIONS else [])

    def figure_kinds(self) -> list[str]:
        """Kinds of figures of the experiment."""
        available = {None, *(["features"] if self.config["train"]["features"] else [])}
        available |= {"matrix"} if self.panel_runs("matrix") else set()
        available |= {"positive"} if self.config["statistics"]["positive"] else set()
        available |= {"sets"} if self.sets else set()
        available |= {"sweep"} if sweeping.swept(self.config) else set()
        available |= {"noise"} if any(map(self._noisy, self.runs)) else set()
        extra = set(self.config["figures"]["extra"])
        optional = OPTIONAL - extra
        return [kind for kind, need in NEEDS.items() if need in available and kind not in optional]

    def _noisy(self, run: str) -> bool:
        """Whether a run is trained with wrong labels."""
        data = settings.part_of(self.config, "data", self.config["backbones"][0], naming.split_name(run)[1])
        return data["label_noise"] > 0 or data["noise"] not in ("symmetric", "pair")

    def noise_variants(self) -> list[str]:
        """Variants with wrong labels."""
        return [name for name, layer in self.config["variants"].items() if layer.get("data")]

    def figures(self, *kinds: str) -> list[str]:
        """Every figure (PNG) of the experiment, or those of some kinds."""
        ranked = len(self.datasets) * len(self.config["backbones"]) >= ENOUGH and len(self.runs) > 1
        whole = [kind for kind in WHOLE if kind != "ranks" or ranked]
        whole = [f"{self.folder}/figures/{kind}.png" for kind in kinds or whole if kind in whole]
        return whole + [
            f"{self.folder}/figures/{kind}-{dataset}-{backbone}.png"
            for kind in kinds or self.figure_kinds()
            if kind in self.figure_kinds()
            for dataset in self.datasets
            for backbone in self.config["backbones"]
            if self.panel_files(kind, dataset, backbone, names.RECORD)
        ]

    def figure_code(self, kind: str) -> str:
        """Fingerprint of the code behind a kind of figure."""
        modules = ["calibench.stages.figure", f"calibench.figures.{kind}"]
        if kind == "bars":  # it shows the soft labels of the regimes
            wanted = (self.regime_modules(b, run) for b in self.config["backbones"] for run in self.runs)
            modules += sorted(set().union(*wanted))
        return fingerprint.of_modules(*modules)


def pattern(choices: list[str] | dict[str, Any]) -> str:
    """A regular expression that matches these names."""
    return "|".join(map(re.escape, choices))
