"""Leave one site out: a data set becomes one for each stratum of its list, trained without it and tested on it."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

from calibench.data import listfiles
from calibench.errors import UserError


def fold_name(dataset: str, stratum: str) -> str:
    """Name of the data set that is trained without a stratum.

    >>> fold_name("hospitals", "Site B")
    'hospitals_without_Site_B'
    """
    return f"{dataset}_without_{re.sub('[^A-Za-z0-9_.]+', '_', stratum)}"


def strata_of(settings: dict[str, Any], where: str) -> list[str]:
    """Strata in the lists of a data set, sorted; images without one are trained on in every fold.

    Raises:
        UserError: no list, no column ``stratum``, or fewer than two strata.
    """
    if settings["format"] not in listfiles.LIST_FORMATS:
        raise UserError(
            f"{where} needs a list with a column stratum, which format {settings['format']} does not have; use format: list"
        )
    root, found = Path(settings["root"]).expanduser(), set()
    for file in listfiles.list_files(settings).values():
        path = root / file
        if not path.is_file():
            raise UserError(
                f"{where}: list file '{path}' does not exist; the strata are read from it before planning"
            )
        found |= set(listfiles.column(path, "stratum"))
    found.discard("")
    if len(found) < 2:
        raise UserError(
            f"{where}: the lists have {len(found)} strata; two or more are needed to leave one out"
        )
    return sorted(found)


def add_folds(config: dict[str, Any]) -> None:
    """Put the folds of every data set with ``leave_one_out`` into its place in the completed configuration.

    Raises:
        UserError: see :func:`strata_of`; or two data sets of one name.
    """
    datasets: dict[str, Any] = {}
    for name, settings in config["datasets"].items():
        made = {name: settings}
        if settings["leave_one_out"]:
            where, made = f"config: datasets.{name}.leave_one_out", {}
            for stratum in strata_of(settings, where):
                fold = deepcopy(settings) | {"leave_one_out": None}
                fold["split"]["test_strata"] = [stratum]
                if made.setdefault(fold_name(name, stratum), fold) is not fold:
                    raise UserError(
                        f"{where}: two strata are called {fold_name(name, stratum)}; rename one in the list"
                    )
        taken = [each for each in made if each in datasets]
        if taken:
            raise UserError(
                f"config: datasets: '{taken[0]}' is the name of a fold as well; rename the data set"
            )
        datasets |= made
    config["datasets"] = datasets
