# What a site asks of every job, from the same site file that routes jobs to partitions (docs/slurm.md). Included
# last, since it adds to rules that exist. Jobs on a node that does not see the file were submitted with it already.
SITE_FILE = os.environ.get("SNAKEMAKE_SLURM_PARTITIONS", "")
SITE_KEYS = {"account": "slurm_account", "qos": "qos", "constraint": "constraint", "gpu_model": "gpu_model"}


def read_site(file):
    """The site file as a dictionary, checked as far as rules use it."""
    if not Path(file).exists():
        raise UserError(f"SNAKEMAKE_SLURM_PARTITIONS: '{file}' does not exist; correct the path or unset it")
    site = configuration.read_yaml(file)
    if not site:
        raise UserError(f"{file} is empty; copy the nearest file of slurm/sites/ into it")
    for key in SITE_KEYS.keys() & site.keys():
        if not isinstance(site[key], (str, int)) or isinstance(site[key], bool) or site[key] == "":
            raise UserError(
                f"{file}: {key}: expected a name, found {site[key]!r}; correct it or leave it out"
            )
    return site


SITE = (
    clear(read_site, SITE_FILE)
    if SITE_FILE and (workflow.is_main_process or Path(SITE_FILE).exists())
    else {}
)

for site_rule in workflow.rules:
    for key, resource in SITE_KEYS.items():
        if key in SITE and (key != "gpu_model" or "gpu" in site_rule.resources):
            site_rule.resources[resource] = str(SITE[key])
