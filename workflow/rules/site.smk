# What a site asks of every job, from the same site file that routes jobs to partitions (docs/slurm.md). Included
# last, since it adds to rules that exist. Jobs on a node that does not see the file were submitted with it already.
SITE_FILE = os.environ.get("SNAKEMAKE_SLURM_PARTITIONS", "")
SITE = (
    as_workflow_error(read_site, SITE_FILE)
    if SITE_FILE and (workflow.is_main_process or Path(SITE_FILE).exists())
    else {}
)

for site_rule in workflow.rules:
    for key, resource in SITE_KEYS.items():
        if key in SITE and (key != "gpu_model" or "gpu" in site_rule.resources):
            site_rule.resources[resource] = str(SITE[key])

# `use rule * as cb_*` renames rules, but not what `localrules` names
workflow.localrules(*map(workflow.modifier.modify_rulename, list(workflow._localrules)))
