# Connects the package to Snakemake. calibench.planning plans the experiment, where tests can import it.
import importlib.util, os, shlex, sys
from pathlib import Path
from snakemake.settings.types import DeploymentMethod

# The package is in a folder next to these rules, or installed if the rules are a module from a repository. Jobs get its
# path, because the interpreter of a conda environment has no calibench.
beside = Path(str(workflow.current_basedir.get_path_or_uri(secret_free=True))).parent.resolve()
if (beside / "calibench").is_dir():
    sys.path.insert(0, str(beside))
elif DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method:
    raise WorkflowError(
        "--sdm conda needs a clone of the repository, because the conda environments do not have the installed package; "
        "use a clone, or run without --sdm conda"
    )
elif importlib.util.find_spec("calibench") is None:
    raise WorkflowError(
        "the package calibench is not installed in the environment of Snakemake; install the version of the module: "
        "pip install 'calibench[workflow] @ git+<address of the repository>@<tag>'"
    )

import calibench
from calibench.errors import UserError
from calibench.extensions import brought, packages
from calibench.files import canonical
from calibench.finished import names
from calibench.planning import checks, configuration, features, fingerprint, protection
from calibench.planning.plan import Plan, pattern
from calibench.planning.sets import check_site_classes
from calibench.planning.site import read_site, site_resources
from calibench.regimes.catalog import catalog
from calibench.published import printed_file
from calibench.training import groups
from snakemake.path_modifier import PathModifier

PACKAGES = Path(calibench.__file__).resolve().parents[1]


def as_workflow_error(function, *args):
    """Call a function of the package; a UserError becomes a WorkflowError with the same sentence."""
    try:
        return function(*args)
    except UserError as error:
        raise WorkflowError(str(error)) from None


# Snakemake has read the files already, but silently uses the last of two equal keys.
for configfile in workflow.overwrite_configfiles or ():
    as_workflow_error(configuration.read_yaml, configfile)
completed = as_workflow_error(configuration.complete, dict(config))
config.clear()
config.update(completed)

# The folder of results, for rules, plan and settings. Snakemake would put the `prefix:` of a module before all paths in
# rules, also before users' images, but not before those of the plan, which looks for finished runs.
RESULTS = str(workflow.modifier.modify_path("results"))
workflow.modifier.path_modifier = PathModifier(None, None, workflow)
for dataset in config["datasets"].values():
    if dataset["root"].startswith("results/data/"):
        dataset["root"] = RESULTS + dataset["root"].removeprefix("results")


pathvars:
    results=RESULTS,


as_workflow_error(checks.check_all, config)
if packages() and DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method:
    raise WorkflowError(
        f"--sdm conda: its environments do not have {', '.join(packages())}, which extend calibench here; leave --sdm "
        "conda out, or uninstall them"
    )

PLAN = Plan(config, RESULTS)
BROUGHT = sorted(brought("regimes"))  # regimes of other packages
EXPERIMENT = PLAN.folder
CHECKPOINT = config["tables"]["checkpoint"]
KEPT = names.kept(CHECKPOINT == names.REFINED)
TESTED = names.logits(CHECKPOINT, "test")
SETS = " ".join(["--sets", *PLAN.sets]) if PLAN.sets else ""
OF_ENSEMBLE = "<experiment>/{dataset}/{backbone}/{members}{calibrator}@ensemble/seed0"
OF_RUN = "<experiment>/{dataset}/{backbone}/{run}/seed{seed}"  # the folder of any run, whatever its regime
ALL_SEEDS = "<experiment>/{dataset}/{backbone}/{run}"
# a run has one colour in all figures
SHOWN = ["--checkpoint", CHECKPOINT, "--runs", ",".join(PLAN.tables_settings()["runs"])]


wildcard_constraints:
    store=pattern(PLAN.dataset_of),
    dataset=pattern(PLAN.store_of),
    backbone=r"[A-Za-z0-9_.-]+",
    variant=r"(\+[a-z0-9_.]+)*",
    seed=r"\d+",


# Commands use the interpreter of Snakemake, unless conda provides one. `stage` writes the log of a stage to its file,
# and shows the end of it on the terminal if the stage fails. File descriptor 3 is the terminal: calibench.cli writes
# there what cannot be written to the log, for example on a full disk.
python_path = (
    ""
    if DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
    else f"export PATH='{Path(sys.executable).parent}':\"$PATH\"; "
)
shell.prefix(
    "set -euo pipefail; "
    f"{python_path}export PYTHONPATH='{PACKAGES}'${{{{PYTHONPATH:+:$PYTHONPATH}}}}; "
    'stage() {{ local log=$1 code=0; shift; STAGE_TERMINAL=3 python -m calibench "$@" 3>&2 2> "$log" || code=$?; '
    'if [ $code != 0 ]; then if [ -s "$log" ]; then tail -n 5 "$log" >&2 || true; '
    'else echo "$log could not be written (disk full? see df -h), or the process was killed at once" >&2; fi; fi; '
    "return $code; }}; "
)


def code_of(stage):
    """Fingerprint of the code behind the result of a stage."""
    return as_workflow_error(fingerprint.of_modules, f"calibench.stages.{stage}")


def regimes_with_rule():
    """Regimes that have a rule `train_<regime>`."""
    ruled = [r.name for r in workflow.rules]  # with a prefix after `use rule * from calibench as cb_*`
    return {regime for regime in catalog() if any(name.endswith(f"train_{regime}") for name in ruled)} | {
        *BROUGHT
    }


def forget_unused_regimes():
    """Remove the rules of regimes that no run uses: Snakemake tries every rule on every file, and plans three times as long."""
    for regime in set(catalog()) - PLAN.regimes_needed() - {"hard"}:
        workflow._rules.pop(workflow.modifier.modify_rulename(f"train_{regime}"), None)


def check_experiment():
    """Checks that need all rules: regimes with a rule, and finished runs that an edited config would delete."""
    as_workflow_error(checks.check_rules, PLAN.runs, regimes_with_rule())
    as_workflow_error(check_site_classes, config, {d: PLAN.store_dir(d) for d in config["datasets"]})
    if config["protect"] and (older := as_workflow_error(protection.check_finished_runs, PLAN)):
        print(
            f"note: {older} finished runs were trained by another version of the code and are kept; "
            "with `protect: false` they are trained again",
            file=sys.stderr,
        )


def heads_to_train():
    """Heads that will be trained now, as `groups.write` wants them; none that waits for a run of another kind."""
    jobs = {job.output.record: job for job in workflow.dag.needrun_jobs() if "train_" in job.rule.name}
    heads = {
        record
        for record, job in jobs.items()
        if features.is_head(config, job.wildcards.backbone, f"hard{job.wildcards.variant}")
    }
    for record in sorted(heads):
        job = jobs[record]
        if all(other in heads or other not in jobs for other in job.input.others):
            yield {
                "settings": job.params.settings,
                "images": job.input.store[0],
                "record": record,
                "others": list(job.input.others),
                "stage_store": job.resources.stage_store,
            }


onstart:
    # With a rate of jobs, each look for jobs starts a timer for another look, and that one the next: after some hundred
    # jobs the main process only looks for jobs. The default rate is left out; one that the user gives stays.
    rate = workflow.scheduling_settings.max_jobs_per_timespan
    if rate and (rate.max_jobs, rate.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None
    # jobs of a cluster run elsewhere, and those in an environment or container of their own have other packages
    here = (
        workflow.is_main_process
        and workflow.local_exec
        and not workflow.deployment_settings.deployment_method
    )
    if here:
        groups.write(heads_to_train())
    if here and config["resources"]["warm_start"]:
        from calibench.training import warm

        warm.start(PACKAGES, min(config["resources"]["train_threads"], workflow.cores))
