"""The site file: what a cluster needs for every job (docs/slurm.md)."""

from pathlib import Path
from typing import Any

from calibench.errors import UserError
from calibench.planning.configuration import read_yaml

SITE_KEYS = {"account": "slurm_account", "qos": "qos", "constraint": "constraint"}
# Only for training jobs. `gres` replaces --gpus, which some sites refuse, or which cannot name shards or MPS.
GPU_KEYS = {"gpu_model": "gpu_model", "gres": "gres", "gpu_partition": "slurm_partition"}


def read_site(file: str | Path) -> dict[str, Any]:
    """The site file as a dictionary; UserError if it does not exist, is empty, or one of our keys is not a name."""
    if not Path(file).exists():
        raise UserError(f"SNAKEMAKE_SLURM_PARTITIONS: '{file}' does not exist; correct the path or unset it")
    site = read_yaml(file)
    if not site:
        raise UserError(f"{file} is empty; copy the nearest file of slurm/sites/ into it")
    for key in (SITE_KEYS | GPU_KEYS).keys() & site.keys():
        if not isinstance(site[key], (str, int)) or isinstance(site[key], bool) or site[key] == "":
            raise UserError(f"{file}: {key}: expected a name, found {site[key]!r}; correct or remove it")
    _check_gres(site, file)
    return site


def _check_gres(site: dict[str, Any], file: str | Path) -> None:
    if "gres" not in site:
        return
    if "gpu_model" in site:
        raise UserError(
            f"{file}: gres and gpu_model cannot be used together; name the model in gres, as gpu:a100:1"
        )
    if not str(site["gres"]).startswith("gpu") and "gpu_partition" not in site:
        raise UserError(
            f"{file}: gres: {site['gres']} does not give a number of GPUs, so it cannot choose a partition; set "
            "gpu_partition"
        )


def site_resources(site: dict[str, Any], trains_on_gpu: bool) -> dict[str, Any]:
    """The resources that the site file adds to a rule, which may need a GPU."""
    keys = SITE_KEYS | (GPU_KEYS if trains_on_gpu else {})
    asked: dict[str, Any] = {resource: str(site[key]) for key, resource in keys.items() if key in site}
    return asked | ({"gpu": 0} if "gres" in asked else {})  # the plugin would ask for both
