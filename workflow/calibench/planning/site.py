"""The site file: what a cluster asks of every job (docs/slurm.md)."""

from pathlib import Path
from typing import Any

from calibench.errors import UserError
from calibench.planning.configuration import read_yaml

SITE_KEYS = {"account": "slurm_account", "qos": "qos", "constraint": "constraint"}
# Of training jobs only. `gres` takes the place of --gpus: some sites refuse that, or share GPUs by shards or MPS.
GPU_KEYS = {"gpu_model": "gpu_model", "gres": "gres", "gpu_partition": "slurm_partition"}


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
    for key in (SITE_KEYS | GPU_KEYS).keys() & site.keys():
        if not isinstance(site[key], (str, int)) or isinstance(site[key], bool) or site[key] == "":
            raise UserError(
                f"{file}: {key}: expected a name, found {site[key]!r}; correct it or leave it out"
            )
    _check_gres(site, file)
    return site


def _check_gres(site: dict[str, Any], file: str | Path) -> None:
    if "gres" not in site:
        return
    if "gpu_model" in site:
        raise UserError(
            f"{file}: gres and gpu_model exclude each other; name the model in gres, as gpu:a100:1"
        )
    if not str(site["gres"]).startswith("gpu") and "gpu_partition" not in site:
        raise UserError(
            f"{file}: gres: {site['gres']} does not say how many GPUs, so no partition can be chosen by it; "
            "name one as gpu_partition"
        )


def site_resources(site: dict[str, Any], trains_on_gpu: bool) -> dict[str, Any]:
    """What the site file adds to a rule's resources.

    Args:
        site: the site file.
        trains_on_gpu: whether the rule asks for a GPU.
    """
    keys = SITE_KEYS | (GPU_KEYS if trains_on_gpu else {})
    asked: dict[str, Any] = {resource: str(site[key]) for key, resource in keys.items() if key in site}
    return asked | ({"gpu": 0} if "gres" in asked else {})  # the plugin would ask for both
