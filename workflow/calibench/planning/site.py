"""The site file: what a cluster asks of every job (docs/slurm.md)."""

from pathlib import Path
from typing import Any

from calibench.errors import UserError
from calibench.planning.configuration import read_yaml

SITE_KEYS = {"account": "slurm_account", "qos": "qos", "constraint": "constraint", "gpu_model": "gpu_model"}


def read_site(file: str | Path) -> dict[str, Any]:
    """The site file as a dictionary, checked as far as rules use it.

    Raises:
        UserError: if it does not exist, is empty, or a name in it is none.
    """
    if not Path(file).exists():
        raise UserError(f"SNAKEMAKE_SLURM_PARTITIONS: '{file}' does not exist; correct the path or unset it")
    site = read_yaml(file)
    if not site:
        raise UserError(f"{file} is empty; copy the nearest file of slurm/sites/ into it")
    for key in SITE_KEYS.keys() & site.keys():
        if not isinstance(site[key], (str, int)) or isinstance(site[key], bool) or site[key] == "":
            raise UserError(
                f"{file}: {key}: expected a name, found {site[key]!r}; correct it or leave it out"
            )
    return site
