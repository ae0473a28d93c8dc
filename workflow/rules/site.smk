# What a site asks of every job, from the same site file that routes jobs to partitions (docs/slurm.md). Included
# last, since it adds to rules that exist. Jobs on a node that does not see the file were submitted with it already.
import yaml

SITE_FILE = Path(os.environ.get("SNAKEMAKE_SLURM_PARTITIONS", ""))
SITE = yaml.safe_load(SITE_FILE.read_text()) if SITE_FILE.is_file() else {}

for site_rule in workflow.rules:
    for key, resource in {"account": "slurm_account", "qos": "qos", "constraint": "constraint"}.items():
        if key in SITE:
            site_rule.resources[resource] = str(SITE[key])
    if "gpu_model" in SITE and "gpu" in site_rule.resources:
        site_rule.resources["gpu_model"] = str(SITE["gpu_model"])
