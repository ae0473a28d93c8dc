"""What can be wrong with a completed configuration, told before anything is planned."""

from itertools import product
from pathlib import Path
from typing import Any

from calibench.backbones.names import check_backbone
from calibench.calibrators import FITS
from calibench.data.radimagenet import ACCESS, LISTS
from calibench.errors import UserError
from calibench.finished.sets import evaluation_sets
from calibench.planning.naming import derived_runs, run_names, split_name, trained_on
from calibench.planning.settings import check_run, other_run, settings_of
from calibench.published import papers, printed_file
from calibench.regimes.catalog import catalog


def check_no_cycle(config: dict[str, Any], run: str, backbone: str, trail: tuple = ()) -> None:
    """Check a run's settings and those of the runs it needs; a run that needs itself cannot be planned.

    Raises:
        UserError: showing the first mistake, or the cycle.
    """
    here = (backbone, run)
    if here in trail:
        chain = " → ".join(f"{b}/{r}" for b, r in [*trail, here])
        raise UserError(f"config: runs need each other in a circle: {chain}; name another teacher")
    settings_of(config, run, next(iter(config["datasets"])), backbone, 0)
    for key, wanted in catalog()[split_name(run)[0]].other_runs.items():
        other_backbone, other = other_run(config, run, backbone, key)
        if wanted == "regime" and not catalog()[split_name(other)[0]].matrix:
            raise UserError(
                f"config: regime '{split_name(run)[0]}': {key}: '{other}' learns no matrix; name a run that does"
            )
        check_no_cycle(config, other, other_backbone, (*trail, here))


def _check_regimes_named(settings: dict[str, Any], where: str) -> None:
    for regime in settings:
        if regime not in catalog():
            raise UserError(f"config: {where}: unknown regime '{regime}'; there are: {', '.join(catalog())}")


def _parts(config: dict[str, Any], name: str) -> tuple[str, str, str]:
    """Run, ``@`` and calibrator of a name in a contrast; a seed ensemble is a run."""
    return name.rpartition("@") if name.rpartition("@")[0] in derived_runs(config) else name.partition("@")


def _check_ensembles(config: dict[str, Any]) -> None:
    """An ensemble has two members, and what its members are calibrated on is kept."""
    if not config["ensembles"]:
        return
    if len(config["seeds"]) < 2:
        raise UserError("config: ensembles: one seed is no ensemble; name at least two under seeds")
    unfit = [name for name in trained_on(config) if config["datasets"][name]["calibrate"] == 0]
    if unfit and set(config["ensembles"]) != {"none"}:
        raise UserError(
            f"config: ensembles: members are calibrated on the calibration half of validation; set datasets.{unfit[0]}.calibrate "
            "above 0, or keep none only"
        )


def _check_contrast(config: dict[str, Any], contrast: list[str]) -> None:
    """Both names are runs of the experiment, differ, and what follows an @ is a calibrator that can be fitted."""
    where = "config: statistics.contrasts"
    if contrast[0] == contrast[1]:
        raise UserError(f"{where}: '{contrast[0]}' is compared with itself; name two runs")
    for run, at, calibrator in (_parts(config, name) for name in contrast):
        if f"{run}{at}{calibrator}" in derived_runs(config):
            continue
        if calibrator.endswith("ensemble") and calibrator not in FITS:
            raise UserError(
                f"{where}: there is no ensemble '{run}@{calibrator}'; ensembles: [none, temperature] makes "
                f"{run}@ensemble and {run}@temperature@ensemble"
            )
        if run not in run_names(config) and run not in derived_runs(config):
            raise UserError(f"{where}: '{run}' is not among runs; add it there or leave it out")
        if at and calibrator not in FITS:
            raise UserError(
                f"{where}: '{run}@{calibrator}': no calibrator '{calibrator}'; there are: {', '.join(FITS)}"
            )
        unfit = [name for name, data in config["datasets"].items() if data["calibrate"] == 0]
        if at and unfit:
            raise UserError(
                f"{where}: '{run}@{calibrator}' is fitted on the calibration half of validation; set "
                f"datasets.{unfit[0]}.calibrate above 0, or leave the contrast out"
            )


def _check_published(name: str | None) -> None:
    if name is not None and not printed_file(name).is_file():
        raise UserError(
            f"config: tables.published: '{name}' is neither a paper ({', '.join(papers())}) nor a CSV file that exists"
        )


def _check_sites(config: dict[str, Any]) -> None:
    """Sites are data sets of the config, stored as those that are trained on; every data set is used for something."""
    sites, trained = config["evaluate_on"]["sites"], trained_on(config)
    for site in sites:
        if site not in config["datasets"]:
            known = ", ".join(config["datasets"])
            raise UserError(f"config: evaluate_on: sites: '{site}' is no data set; there are: {known}")
    if not trained:
        raise UserError("config: datasets: every data set has train_on: false; one is needed to train on")
    idle = [name for name in config["datasets"] if name not in (*trained, *sites)]
    if idle:
        raise UserError(
            f"config: datasets.{idle[0]} has train_on: false and no run is asked about it; name it in evaluate_on: sites"
        )
    for site, dataset, key in product(sites, trained, ("size", "colour")):
        here, there = (config["datasets"][name]["store"][key] for name in (dataset, site))
        if here != there:
            raise UserError(
                f"config: datasets.{site}.store.{key} is {there}, that of {dataset} is {here}: a network is asked about "
                "images like those it was trained on; give both the same"
            )


def check_site_classes(config: dict[str, Any], folders: dict[str, str]) -> None:
    """Check that sites share classes with the data sets that are trained on, where both have been listed.

    Args:
        config: the completed configuration.
        folders: data set → folder of its store.

    Raises:
        UserError: naming both.
    """
    from calibench.data.sites import check_classes
    from calibench.data.stored import read_classes

    for site, dataset in product(config["evaluate_on"]["sites"], trained_on(config)):
        files = [Path(folders[name], "classes.csv") for name in (dataset, site)]
        if all(file.exists() for file in files):
            check_classes(*map(read_classes, files), (dataset, site))


def check_all(config: dict[str, Any]) -> None:
    """Check every run of the experiment before anything is planned.

    Raises:
        UserError: for the first mistake found.
    """
    _check_regimes_named(config["regimes"], "regimes")
    for backbone, changes in config["by_backbone"].items():
        check_backbone(backbone, "by_backbone")
        _check_regimes_named(changes.get("regimes") or {}, f"by_backbone: {backbone}: regimes")
    for contrast in config["statistics"]["contrasts"]:
        _check_contrast(config, contrast)
    _check_published(config["tables"]["published"])
    _check_sites(config)
    _check_ensembles(config)
    evaluation_sets(config["evaluate_on"], config["evaluate_on"]["sites"])  # no name twice
    for backbone in config["backbones"]:
        check_backbone(backbone)
    for run in run_names(config):
        check_run(config, run)
        for backbone in config["backbones"]:
            check_no_cycle(config, run, backbone)


def list_inputs(config: dict[str, Any], dataset: str) -> list[str]:
    """The files a data set is listed from: its list files where there are any, else what its root is."""
    settings = config["datasets"][dataset]
    files = dict(settings["files"])
    if settings["format"] == "radimagenet" and not files:
        files = LISTS
    if settings["format"] in ("list", "semicolon") and not files:
        raise UserError(
            f"config: datasets.{dataset}.files is missing; name the list as {{list: images.csv}} or {{train: …, val: …, test: …}}"
        )
    return [str(Path(settings["root"]).expanduser() / name) for name in files.values()]


def check_root(config: dict[str, Any], dataset: str) -> None:
    """Check that a data set's files are where the config says; sets the workflow makes itself are not asked for.

    Raises:
        UserError: naming key and path, and how to get access.
    """
    root = Path(config["datasets"][dataset]["root"]).expanduser()
    if root.parts[:2] == ("results", "data"):
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
