# What a site asks of every job, from the same site file that routes jobs to partitions (docs/slurm.md). Included
# last, since it adds to rules that exist. Jobs on a node that does not see the file were submitted with it already.
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

# `use rule * as cb_*` renames rules, but not what `localrules` names
workflow.localrules(*map(workflow.modifier.modify_rulename, list(workflow._localrules)))
