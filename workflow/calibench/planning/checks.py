"""What can be wrong with a completed configuration, told before anything is planned."""

import itertools
from pathlib import Path
from typing import Any

from calibench.backbones.names import TIMM, check_backbone, check_stages
from calibench.calibrators import FITS
from calibench.data import listfiles
from calibench.data.radimagenet import ACCESS
from calibench.errors import UserError, did_you_mean
from calibench.finished.sets import evaluation_sets
from calibench.finished.snapshots import all_epochs
from calibench.metrics.labels import METRICS
from calibench.planning import features
from calibench.planning.externals import check_external, external_runs
from calibench.planning.naming import split_name, trained_on
from calibench.planning.sets import check_ensembles, check_evaluation, derived_runs, run_and_calibrator
from calibench.planning.settings import check_run, other_run, runs_named, settings_of
from calibench.planning.sweeping import check_sweep, run_names
from calibench.published import papers, printed_file
from calibench.regimes import parts
from calibench.regimes.catalog import catalog
from calibench.tables.arrange import PLAIN, dimensions, split_run


def check_no_cycle(config: dict[str, Any], run: str, backbone: str, trail: tuple = ()) -> None:
    """Check a run's settings and those of the runs it needs; a run that needs itself cannot be planned.

    Raises:
        UserError: showing the first mistake, or the cycle.
    """
    here = (backbone, run)
    if here in trail:
        chain = " → ".join(f"{b}/{r}" for b, r in [*trail, here])
        raise UserError(f"config: runs need each other in a circle: {chain}; name another teacher")
    found = settings_of(config, run, next(iter(config["datasets"])), backbone, 0)
    _check_regime(run, backbone, found["run"]["regime"], found["regime"])
    _check_needs(run, backbone, found)
    _check_training(config, f"config: run '{run}' on {backbone}", found)
    features.check_run(config, backbone, run, parts.needs(found["run"]["regime"], found["regime"]), found)
    for key, (wanted, _) in runs_named(config, run, backbone).items():
        other_backbone, other = other_run(config, run, backbone, key)
        if wanted == "regime" and not catalog()[split_name(other)[0]].matrix:
            raise UserError(
                f"config: regime '{split_name(run)[0]}': {key}: '{other}' learns no matrix; name a run that does"
            )
        check_no_cycle(config, other, other_backbone, (*trail, here))


def _check_regime(run: str, backbone: str, regime: str, settings: dict[str, Any]) -> None:
    """Values of the settings of a regime, and of the parts it is made of."""
    try:
        catalog()[regime].check(settings)
        for part, own in parts.parts(regime, settings).items():
            catalog()[part].check(own)
    except UserError as error:
        raise UserError(f"config: run '{run}' on {backbone}: {error}") from None


def _check_needs(run: str, backbone: str, settings: dict[str, Any]) -> None:
    """A regime with heads gets a backbone with stages, one that compares two views of an image no mixed images."""
    try:
        needs = parts.needs(settings["run"]["regime"], settings["regime"])
    except UserError as error:
        raise UserError(f"config: regimes: {error}") from None
    if "stages" in needs:
        check_stages(backbone, f"config: run '{run}'")
    mixing = [name for name in ("mixup", "cutmix") if settings["augment"][name] is not None]
    if "second_view" in needs and mixing:
        raise UserError(
            f"config: run '{run}' on {backbone} compares two views of one image, which {mixing[0]} mixes with another; "
            f"set augment: {mixing[0]}: null for it"
        )


def _check_training(config: dict[str, Any], where: str, settings: dict[str, Any]) -> None:
    """What a schema cannot say of training, augmentation and label noise: how values fit together."""
    train, augment, data = (settings[part] for part in ("train", "augment", "data"))
    if settings["model"]["weights"] == "imagenet" and settings["run"]["backbone"].startswith(TIMM):
        raise UserError(
            f"{where}: model: weights: imagenet are torchvision's; for a network of timm download its "
            "model.safetensors and set weights to that file, or to none"
        )
    if train["snapshots"] != config["train"]["snapshots"]:
        raise UserError(
            f"{where}: train: snapshots is set for the whole experiment; move it to train at the top"
        )
    try:
        all_epochs(train["snapshots"], train["epochs"])
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    for key in ("scale", "ratio"):
        if augment[key] is not None and not augment[key][0] <= augment[key][1]:
            raise UserError(f"{where}: augment: {key} must be [lowest, highest]; got {augment[key]}")
    if augment["scale"] is None and augment["ratio"] is not None:
        raise UserError(
            f"{where}: augment: ratio is the shape of parts that scale chooses; set augment: scale too"
        )
    if augment["scale"] is not None and (augment["pad"] is not None or not augment["crop"]):
        raise UserError(f"{where}: augment: scale takes the place of crop and pad; leave those two out")
    if data["noise"] not in ("symmetric", "pair"):
        if data["label_noise"]:
            raise UserError(
                f"{where}: data: the file {data['noise']} has its own share of noise; leave label_noise out"
            )
        if not Path(data["noise"]).is_file():
            raise UserError(
                f"{where}: data: noise: '{data['noise']}' is neither symmetric nor pair nor a file that exists"
            )


def _check_regimes_named(settings: dict[str, Any], where: str) -> None:
    for regime in settings:
        if regime not in catalog():
            raise UserError(f"config: {where}: unknown regime '{regime}'; {did_you_mean(regime, catalog())}")


def _check_contrast(config: dict[str, Any], contrast: list[str]) -> None:
    """Both names are runs of the experiment, differ, and what follows an @ is a calibrator that can be fitted."""
    where = "config: statistics.contrasts"
    if contrast[0] == contrast[1]:
        raise UserError(f"{where}: '{contrast[0]}' is compared with itself; name two runs")
    for run, calibrator in (run_and_calibrator(config, name) for name in contrast):
        if calibrator.endswith("ensemble") and calibrator not in FITS:
            raise UserError(
                f"{where}: there is no ensemble '{run}@{calibrator}'; ensembles: [none, temperature] makes "
                f"{run}@ensemble and {run}@temperature@ensemble"
            )
        if run not in (*run_names(config), *derived_runs(config), *external_runs(config)):
            raise UserError(
                f"{where}: [{', '.join(contrast)}] compares '{run}', which is not among runs; add it there, or name the "
                "contrasts anew (a config file laid over another takes over the other's contrasts unless it names its "
                "own: statistics: {contrasts: []} is none)"
            )
        if calibrator and calibrator not in FITS:
            raise UserError(
                f"{where}: '{run}@{calibrator}': no calibrator '{calibrator}'; there are: {', '.join(FITS)}"
            )
        unfit = [name for name in trained_on(config) if config["datasets"][name]["calibrate"] == 0]
        if calibrator and unfit:
            raise UserError(
                f"{where}: '{run}@{calibrator}' is fitted on the calibration half of validation; set "
                f"datasets.{unfit[0]}.calibrate above 0, or leave the contrast out"
            )


def _check_published(name: str | None) -> None:
    if name is not None and not printed_file(name).is_file():
        raise UserError(
            f"config: tables.published: '{name}' is neither a paper ({', '.join(papers())}) nor a CSV file that exists"
        )


def _check_layouts(config: dict[str, Any]) -> None:
    """Names, measures and dimensions of the tables that a config describes."""
    layouts = config["tables"]["layouts"]
    names = [layout["name"] for layout in layouts]
    for layout in layouts:
        where = f"config: tables.layouts: '{layout['name']}'"
        if names.count(layout["name"]) > 1:
            raise UserError(f"{where} is there twice; rename one")
        unknown = [name for name in layout["measures"] if name not in METRICS]
        if unknown:
            raise UserError(f"{where}: no measure '{unknown[0]}'; there are: {', '.join(METRICS)}")
        rows, columns = dimensions(layout)
        if len({*rows, *columns}) < len(rows) + len(columns):
            raise UserError(f"{where}: rows and columns name the same twice; take it out of one")
        if {"run", "regime"} <= {*rows, *columns}:
            raise UserError(f"{where}: run and regime are the same thing; take one")
        groups = [name for name in rows + columns if name not in PLAIN]
        for group in groups:
            found = [split_run(run, [group])[group] for run in run_names(config)]
            sets = evaluation_sets(config["evaluate_on"], config["evaluate_on"]["sites"])
            if {"snapshots": config["train"]["snapshots"], "set": sets}.get(group):
                continue
            if not any(found):
                raise UserError(
                    f"{where}: '{group}' is neither of {', '.join(PLAIN)} nor the beginning of a variant of any run, as "
                    "noise is of noise20; correct it (snapshots: set train: snapshots; set: set evaluate_on)"
                )
        if groups and "run" in rows + columns:
            raise UserError(f"{where}: run holds its variants already; write regime beside {groups[0]}")
        strange = [name for name in layout.get("order") or {} if name not in rows + columns]
        if strange:
            raise UserError(f"{where}: order: '{strange[0]}' is not among its rows and columns")


def check_all(config: dict[str, Any]) -> None:
    """Check every run of the experiment before anything is planned.

    Raises:
        UserError: for the first mistake found.
    """
    _check_regimes_named(config["regimes"], "regimes")
    for backbone, changes in config["by_backbone"].items():
        check_backbone(backbone, "by_backbone")
        _check_regimes_named(changes.get("regimes") or {}, f"by_backbone: {backbone}: regimes")
    for name, dataset in config["datasets"].items():
        listfiles.check_keys(dataset, name)
        if dataset["votes"] and not Path(dataset["votes"]).is_file():
            raise UserError(
                f"config: datasets.{name}.votes: '{dataset['votes']}' does not exist; correct the path"
            )
    for contrast in config["statistics"]["contrasts"]:
        _check_contrast(config, contrast)
    _check_published(config["tables"]["published"])
    check_evaluation(config)
    check_ensembles(config)
    check_external(config, trained_on(config))
    check_sweep(config)
    _check_layouts(config)
    for backbone in config["backbones"]:
        check_backbone(backbone)
    for run in run_names(config):
        check_run(config, run)
        for backbone in config["backbones"]:
            check_no_cycle(config, run, backbone)


def list_inputs(config: dict[str, Any], dataset: str) -> list[str]:
    """The files a data set is listed from: its list files where there are any, else what its root is."""
    settings = config["datasets"][dataset]
    root = Path(settings["root"]).expanduser()
    return [str(root / name) for name in listfiles.list_files(settings).values()]


def check_root(config: dict[str, Any], dataset: str) -> None:
    """Check that a data set's lists are where the config says, with their columns; not of sets the workflow makes.

    Raises:
        UserError: naming key and path, and how to get access, or the column.
    """
    root = Path(config["datasets"][dataset]["root"]).expanduser()
    if not root.is_absolute() and ("results", "data") in itertools.pairwise(root.parts):
        return
    key = f"config: datasets.{dataset}.root"
    if not root.exists():
        access = (
            f" ({ACCESS}; the folder holds radiology_ai/ and the RadiologyAI_*.csv)"
            if config["datasets"][dataset]["format"] == "radimagenet"
            else ""
        )
        raise UserError(f"{key}: '{root}' does not exist{access}; put the data there or correct the path")
    missing = [p for p in list_inputs(config, dataset) if not Path(p).exists()]
    if missing:
        raise UserError(f"{key}: list file '{missing[0]}' does not exist; correct root or files")
    if (kind := config["datasets"][dataset]["format"]) in listfiles.LIST_FORMATS:
        for path in list_inputs(config, dataset):
            listfiles.check_columns(Path(path), kind)


def check_rules(runs: list[str], with_rule: set[str]) -> None:
    """Check that every regime among the runs has a rule.

    Raises:
        UserError: naming the first that has a class but no rule.
    """
    for run in runs:
        regime = split_name(run)[0]
        if regime in catalog() and regime not in with_rule:
            raise UserError(
                f"config: runs: '{run}': regime '{regime}' has a class but no rule; "
                "add one to workflow/rules/regimes.smk (docs/adding-a-regime.md)"
            )
