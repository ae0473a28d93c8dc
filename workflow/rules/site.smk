# Resources that a cluster needs for every job, from the site file that also chooses partitions (docs/slurm.md).
# Included last, because it changes existing rules. On a node that cannot read the file, the job has its resources already.
SITE_FILE = os.environ.get("SNAKEMAKE_SLURM_PARTITIONS", "")
SITE = (
    as_workflow_error(read_site, SITE_FILE)
    if SITE_FILE and (workflow.is_main_process or Path(SITE_FILE).exists())
    else {}
)

for site_rule in workflow.rules:
    trains_on_gpu = "gpu" in site_rule.resources and config["resources"]["gpu"] > 0
    for resource, value in site_resources(SITE, trains_on_gpu).items():
        site_rule.resources[resource] = value

# `use rule * as cb_*` renames rules, but not the names in `localrules`
workflow.localrules(*map(workflow.modifier.modify_rulename, list(workflow._localrules)))
