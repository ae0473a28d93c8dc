"""Predictions of other programs that stand beside the runs of a config (``external:``): their names, files and places."""

import re
from pathlib import Path
from typing import Any

from calibench.errors import UserError
from calibench.finished.sets import evaluation_sets

REGIME = "external"
PLACES = ("dataset", "backbone", "seed")


def external_runs(config: dict[str, Any]) -> dict[str, str]:
    """Run, as ``external+name`` → its file, in which {dataset}, {backbone} and {seed} are replaced."""
    return {f"{REGIME}+{name}": file for name, file in config["external"].items()}


def external_files(config: dict[str, Any], datasets: list[str]) -> dict[tuple[str, str, str, int], str]:
    """(data set, backbone, run, seed) → file. A name without backbone or seed counts for the first one in the config."""
    found = {}
    for run, template in external_runs(config).items():
        backbones, seeds = (
            config[f"{key}s"] if f"{{{key}}}" in template else config[f"{key}s"][:1]
            for key in ("backbone", "seed")
        )
        for dataset in datasets:
            for backbone in backbones:
                for seed in seeds:
                    keys = {"dataset": dataset, "backbone": backbone, "seed": seed}
                    found[dataset, backbone, run, seed] = template.format(**keys)
    return found


def check_external(config: dict[str, Any], datasets: list[str]) -> None:
    """Check the file names, and that no evaluation set needs a network.

    Raises:
        UserError: naming the key.
    """
    for name, template in config["external"].items():
        where = f"config: external: {name}"
        for word in re.findall(r"\{(.*?)\}", template):
            if word not in PLACES:
                raise UserError(f"{where}: '{{{word}}}' is none of {', '.join(f'{{{p}}}' for p in PLACES)}")
        if len(datasets) > 1 and "{dataset}" not in template:
            raise UserError(
                f"{where}: one file cannot hold {len(datasets)} data sets; write {{dataset}} in its name"
            )
    for (dataset, backbone, run, seed), file in external_files(config, datasets).items():
        if not Path(file).is_file():
            raise UserError(
                f"config: external: {run.partition('+')[2]}: '{file}' does not exist ({dataset}, {backbone}, seed {seed})"
            )
    if config["external"] and evaluation_sets(config["evaluate_on"]):
        raise UserError(
            "config: external: predictions of other programs have no network, which evaluate_on needs; remove one of the two"
        )
