"""Evaluation sets and seed ensembles of a config, and their checks."""

from collections.abc import Collection
from itertools import product
from pathlib import Path
from typing import Any

from calibench.calibrators import FITS
from calibench.errors import UserError, did_you_mean
from calibench.finished.sets import evaluation_sets
from calibench.planning.naming import trained_on
from calibench.planning.sweeping import run_names


def derived_runs(config: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """{seed ensemble (``ols@ensemble``, ``ols@temperature@ensemble``): (run, calibrator of its members)}."""
    return {
        f"{run}{'' if calibrator == 'none' else f'@{calibrator}'}@ensemble": (run, calibrator)
        for run in run_names(config)
        for calibrator in config["ensembles"]
    }


def run_and_calibrator(config: dict[str, Any], name: str) -> tuple[str, str]:
    """Run and calibrator of a name in a contrast: ``ols@temperature`` → (ols, temperature); an ensemble is a run."""
    if name in derived_runs(config):
        return name, ""
    before, _, last = name.rpartition("@")
    if before in derived_runs(config):
        return before, last
    run, _, calibrator = name.partition("@")
    return run, calibrator


def check_calibrators(where: str, names: Collection[str], known: Collection[str]) -> None:
    """Raise UserError for the first name that is not a known calibrator."""
    for name in names:
        if name not in known:
            raise UserError(f"config: {where}: no calibrator '{name}'; {did_you_mean(name, known)}")


def check_ensembles(config: dict[str, Any]) -> None:
    """Raise UserError if an ensemble has fewer than two members, or its members cannot be calibrated."""
    if not config["ensembles"]:
        return
    check_calibrators("ensembles", config["ensembles"], ["none", *FITS])
    if len(config["seeds"]) < 2:
        raise UserError("config: ensembles need at least two seeds; add one to seeds")
    unfit = [name for name in trained_on(config) if config["datasets"][name]["calibrate"] == 0]
    if unfit and set(config["ensembles"]) != {"none"}:
        raise UserError(
            "config: ensembles: members are calibrated on the part calibrate of validation; set "
            f"datasets.{unfit[0]}.calibrate above 0, or use only none"
        )


def check_evaluation(config: dict[str, Any]) -> None:
    """Raise UserError if a site is not a data set stored like those for training, or a data set is not used."""
    sites, trained = config["evaluate_on"]["sites"], trained_on(config)
    for site in sites:
        if site not in config["datasets"]:
            hint = did_you_mean(site, config["datasets"])
            raise UserError(f"config: evaluate_on.sites: '{site}' is not a data set; {hint}")
    if not trained:
        raise UserError("config: datasets: train_on is false for all data sets; set it to true for one")
    idle = [name for name in config["datasets"] if name not in (*trained, *sites)]
    if idle:
        raise UserError(
            f"config: datasets.{idle[0]} is not used: train_on is false and it is not in evaluate_on.sites; add it there"
        )
    for site, dataset, key in product(sites, trained, ("size", "colour")):
        here, there = (config["datasets"][name]["store"][key] for name in (dataset, site))
        if here != there:
            raise UserError(
                f"config: datasets.{site}.store.{key} is {there}, but that of {dataset} is {here}; use the same, because "
                "the network needs images like those it was trained on"
            )
    evaluation_sets(config["evaluate_on"])


def check_site_classes(config: dict[str, Any], folders: dict[str, str]) -> None:
    """Raise UserError if a site and a training data set do not share classes; checked once both are listed.

    ``folders`` maps each data set to the folder of its store.
    """
    from calibench.data.sites import check_classes
    from calibench.data.stored import read_classes

    for site, dataset in product(config["evaluate_on"]["sites"], trained_on(config)):
        files = [Path(folders[name], "classes.csv") for name in (dataset, site)]
        if all(file.exists() for file in files):
            check_classes(*map(read_classes, files), (dataset, site))
