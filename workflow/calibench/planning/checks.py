"""Checks of a completed configuration, before anything is planned."""

import itertools
from pathlib import Path
from typing import Any

from calibench.backbones.names import check_backbone, check_stages
from calibench.backbones.special import TIMM
from calibench.calibrators import FITS
from calibench.data import listfiles
from calibench.data.radimagenet import ACCESS
from calibench.errors import UserError, did_you_mean
from calibench.finished.sets import evaluation_sets
from calibench.finished.snapshots import all_epochs
from calibench.metrics.labels import METRICS
from calibench.planning import features
from calibench.planning.externals import check_external, external_runs
from calibench.planning.naming import named_runs, split_name, trained_on
from calibench.planning.sets import (
    check_calibrators,
    check_ensembles,
    check_evaluation,
    derived_runs,
    run_and_calibrator,
)
from calibench.planning.settings import check_run, other_run, runs_named, settings_of
from calibench.planning.sweeping import check_sweep, run_names
from calibench.published import papers, printed_file
from calibench.regimes import parts
from calibench.regimes.catalog import catalog
from calibench.tables.arrange import PLAIN, dimensions, split_run


def check_no_cycle(config: dict[str, Any], run: str, backbone: str, trail: tuple = ()) -> None:
    """Check the settings of a run and of the runs that it needs: UserError for a mistake, or a run that needs itself."""
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
        if wanted == "regime" and not catalog()[split_name(other)[0]].shows_matrix:
            raise UserError(
                f"config: regime '{split_name(run)[0]}': {key}: '{other}' does not learn a matrix; name a run that does"
            )
        check_no_cycle(config, other, other_backbone, (*trail, here))


def _check_regime(run: str, backbone: str, regime: str, settings: dict[str, Any]) -> None:
    """Check the settings of a regime, and of the parts that it is made of."""
    try:
        catalog()[regime].check(settings)
        for part, own in parts.parts(regime, settings).items():
            catalog()[part].check(own)
    except UserError as error:
        raise UserError(f"config: run '{run}' on {backbone}: {error}") from None


def _check_needs(run: str, backbone: str, settings: dict[str, Any]) -> None:
    """Check that the backbone has known stages if the regime needs them, and that no mixing spoils a second view."""
    try:
        needs = parts.needs(settings["run"]["regime"], settings["regime"])
    except UserError as error:
        raise UserError(f"config: regimes: {error}") from None
    if "stages" in needs:
        check_stages(backbone, f"config: run '{run}'")
    mixing = [name for name in ("mixup", "cutmix") if settings["augment"][name] is not None]
    if "second_view" in needs and mixing:
        raise UserError(
            f"config: run '{run}' on {backbone} compares two views of one image, but {mixing[0]} mixes it with another; "
            f"set augment.{mixing[0]} to null for this run"
        )


def _check_training(config: dict[str, Any], where: str, settings: dict[str, Any]) -> None:
    """Check how values of training, augmentation and label noise fit together, which a schema cannot do."""
    train, augment, data = (settings[part] for part in ("train", "augment", "data"))
    if settings["model"]["weights"] == "imagenet" and settings["run"]["backbone"].startswith(TIMM):
        raise UserError(
            f"{where}: model.weights: imagenet are torchvision's weights; for a network of timm download its "
            "model.safetensors and set weights to that file, or to none"
        )
    if train["snapshots"] != config["train"]["snapshots"]:
        raise UserError(
            f"{where}: train.snapshots must be the same for the whole experiment; set it under train at the top"
        )
    try:
        all_epochs(train["snapshots"], train["epochs"])
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    for key in ("scale", "ratio"):
        if augment[key] is not None and not augment[key][0] <= augment[key][1]:
            raise UserError(f"{where}: augment.{key} must be [lowest, highest]; got {augment[key]}")
    if augment["scale"] is None and augment["ratio"] is not None:
        raise UserError(f"{where}: augment.ratio has no effect without augment.scale; set that as well")
    if augment["scale"] is not None and (augment["pad"] is not None or not augment["crop"]):
        raise UserError(f"{where}: augment.scale replaces crop and pad; remove those two")
    if data["noise"] not in ("symmetric", "pair"):
        if data["label_noise"]:
            raise UserError(
                f"{where}: the file data.noise defines the share of noise; remove data.label_noise"
            )
        if not Path(data["noise"]).is_file():
            raise UserError(
                f"{where}: data.noise: '{data['noise']}' is neither symmetric, nor pair, nor an existing file"
            )


def _check_regimes_named(settings: dict[str, Any], where: str) -> None:
    for regime in settings:
        if regime not in catalog():
            raise UserError(f"config: {where}: unknown regime '{regime}'; {did_you_mean(regime, catalog())}")


def _check_contrast(config: dict[str, Any], contrast: list[str]) -> None:
    """Check that both names are different runs of the experiment, with calibrators that can be fitted after the @."""
    where = "config: statistics.contrasts"
    if contrast[0] == contrast[1]:
        raise UserError(f"{where}: '{contrast[0]}' is compared with itself; name two runs")
    for run, calibrator in (run_and_calibrator(config, name) for name in contrast):
        if calibrator.endswith("ensemble") and calibrator not in FITS:
            raise UserError(
                f"{where}: there is no ensemble '{run}@{calibrator}'; for {run}@ensemble and "
                f"{run}@temperature@ensemble set ensembles to [none, temperature]"
            )
        if run not in (*run_names(config), *derived_runs(config), *external_runs(config)):
            raise UserError(
                f"{where}: [{', '.join(contrast)}] compares '{run}', which is not among runs; add it there, or change "
                "the contrasts (a second config file keeps those of the first; statistics: {contrasts: []} removes them)"
            )
        if calibrator and calibrator not in FITS:
            raise UserError(
                f"{where}: '{run}@{calibrator}': unknown calibrator '{calibrator}'; there are: {', '.join(FITS)}"
            )
        unfit = [name for name in trained_on(config) if config["datasets"][name]["calibrate"] == 0]
        if calibrator and unfit:
            raise UserError(
                f"{where}: '{run}@{calibrator}' is fitted on the part calibrate of validation; set "
                f"datasets.{unfit[0]}.calibrate above 0, or remove the contrast"
            )


def _check_published(name: str | None) -> None:
    if name is not None and not printed_file(name).is_file():
        raise UserError(
            f"config: tables.published: '{name}' is neither a paper ({', '.join(papers())}) nor an existing CSV file"
        )


def _check_layouts(config: dict[str, Any]) -> None:
    """Check names, measures and dimensions of the tables in ``tables.layouts``."""
    layouts = config["tables"]["layouts"]
    names = [layout["name"] for layout in layouts]
    for layout in layouts:
        where = f"config: tables.layouts: '{layout['name']}'"
        if names.count(layout["name"]) > 1:
            raise UserError(f"{where} exists twice; rename one")
        unknown = [name for name in layout["measures"] if name not in METRICS]
        if unknown:
            raise UserError(f"{where}: unknown measure '{unknown[0]}'; there are: {', '.join(METRICS)}")
        rows, columns = dimensions(layout)
        if len({*rows, *columns}) < len(rows) + len(columns):
            raise UserError(f"{where}: rows and columns have a name in common; remove it from one")
        if {"run", "regime"} <= {*rows, *columns}:
            raise UserError(f"{where}: run already contains the regime; use only one of the two")
        groups = [name for name in rows + columns if name not in PLAIN]
        for group in groups:
            found = [split_run(run, [group])[group] for run in run_names(config)]
            sets = evaluation_sets(config["evaluate_on"])
            if {"snapshots": config["train"]["snapshots"], "set": sets}.get(group):
                continue
            if not any(found):
                raise UserError(
                    f"{where}: '{group}' is not one of {', '.join(PLAIN)}, and no variant of a run starts with it, as "
                    "noise20 starts with noise; correct it (for snapshots set train.snapshots, for set set evaluate_on)"
                )
        if groups and "run" in rows + columns:
            raise UserError(
                f"{where}: run already contains the variants; with {groups[0]} use regime instead"
            )
        strange = [name for name in layout.get("order") or {} if name not in rows + columns]
        if strange:
            raise UserError(f"{where}: order: '{strange[0]}' is not in its rows or columns")


def check_all(config: dict[str, Any]) -> None:
    """Check the whole experiment; UserError for the first mistake."""
    _check_regimes_named(config["regimes"], "regimes")
    _check_regimes_named(config["by_regime"], "by_regime")
    for backbone, changes in config["by_backbone"].items():
        check_backbone(backbone, "by_backbone")
        _check_regimes_named(changes.get("regimes") or {}, f"by_backbone.{backbone}.regimes")
    for name, dataset in config["datasets"].items():
        listfiles.check_keys(dataset, name)
    # before the contrasts: one that names a misspelt run would only say that it is not there
    for run in named_runs(config):
        check_run(config, run)
    check_calibrators("statistics.calibrators", config["statistics"]["calibrators"] or (), FITS)
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
        for backbone in config["backbones"]:
            check_no_cycle(config, run, backbone)


def list_inputs(config: dict[str, Any], dataset: str) -> list[str]:
    """The list files of a data set; none if its format has none."""
    settings = config["datasets"][dataset]
    root = Path(settings["root"]).expanduser()
    return [str(root / name) for name in listfiles.list_files(settings).values()]


def check_root(config: dict[str, Any], dataset: str) -> None:
    """Raise UserError if a list of a data set, a column in it or its votes are missing.

    Data that the workflow makes is not checked.
    """
    votes = config["datasets"][dataset]["votes"]
    if votes and not Path(votes).is_file():
        raise UserError(f"config: datasets.{dataset}.votes: '{votes}' does not exist; correct the path")
    root = Path(config["datasets"][dataset]["root"]).expanduser()
    if not root.is_absolute() and ("results", "data") in itertools.pairwise(root.parts):
        return
    key = f"config: datasets.{dataset}.root"
    if not root.exists():
        radimagenet = config["datasets"][dataset]["format"] == "radimagenet"
        access = f" ({ACCESS}; it has the folder radiology_ai/ and RadiologyAI_*.csv)" if radimagenet else ""
        raise UserError(f"{key}: '{root}' does not exist{access}; put the data there or correct the path")
    missing = [p for p in list_inputs(config, dataset) if not Path(p).exists()]
    if missing:
        raise UserError(f"{key}: list file '{missing[0]}' does not exist; correct root or files")
    if (kind := config["datasets"][dataset]["format"]) in listfiles.LIST_FORMATS:
        for path in list_inputs(config, dataset):
            listfiles.check_columns(Path(path), kind)


def check_rules(runs: list[str], with_rule: set[str]) -> None:
    """Raise UserError for the first run whose regime has a class but no rule."""
    for run in runs:
        regime = split_name(run)[0]
        if regime in catalog() and regime not in with_rule:
            raise UserError(
                f"config: runs: '{run}': regime '{regime}' has a class but no rule; "
                "add one to workflow/rules/regimes.smk (docs/adding-a-regime.md)"
            )
