"""What finished runs are asked and averaged into: evaluation sets and seed ensembles of a config, and their mistakes."""

from itertools import product
from pathlib import Path
from typing import Any

from calibench.calibrators import FITS
from calibench.errors import UserError, did_you_mean
from calibench.finished.sets import evaluation_sets
from calibench.planning.naming import trained_on
from calibench.planning.sweeping import run_names


def derived_runs(config: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Seed ensembles (``ols@ensemble``, ``ols@temperature@ensemble``) → their run and the calibrator of its members."""
    return {
        f"{run}{'' if calibrator == 'none' else f'@{calibrator}'}@ensemble": (run, calibrator)
        for run in run_names(config)
        for calibrator in config["ensembles"]
    }


def run_and_calibrator(config: dict[str, Any], name: str) -> tuple[str, str]:
    """The two of a name in a contrast, as ``ols@temperature`` → (ols, temperature); a seed ensemble is a run."""
    if name in derived_runs(config):
        return name, ""
    before, _, last = name.rpartition("@")
    if before in derived_runs(config):
        return before, last
    run, _, calibrator = name.partition("@")
    return run, calibrator


def check_ensembles(config: dict[str, Any]) -> None:
    """Check that an ensemble has two members, and that what its members are calibrated on is kept.

    Raises:
        UserError: naming the key.
    """
    if not config["ensembles"]:
        return
    for calibrator in config["ensembles"]:
        if calibrator not in ("none", *FITS):
            raise UserError(
                f"config: ensembles: no calibrator '{calibrator}'; {did_you_mean(calibrator, ['none', *FITS])}"
            )
    if len(config["seeds"]) < 2:
        raise UserError("config: ensembles: one seed is no ensemble; name at least two under seeds")
    unfit = [name for name in trained_on(config) if config["datasets"][name]["calibrate"] == 0]
    if unfit and set(config["ensembles"]) != {"none"}:
        raise UserError(
            "config: ensembles: members are calibrated on the calibration half of validation; set "
            f"datasets.{unfit[0]}.calibrate above 0, or keep none only"
        )


def check_evaluation(config: dict[str, Any]) -> None:
    """Check that sites are data sets stored like those that are trained on, and that every data set is used.

    Raises:
        UserError: naming the data set, or two sets of one name.
    """
    sites, trained = config["evaluate_on"]["sites"], trained_on(config)
    for site in sites:
        if site not in config["datasets"]:
            hint = did_you_mean(site, config["datasets"])
            raise UserError(f"config: evaluate_on: sites: '{site}' is no data set; {hint}")
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
    evaluation_sets(config["evaluate_on"], sites)


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
