import functools, json, os, re, shlex, sys
from pathlib import Path

WORKFLOW = Path(str(workflow.current_basedir.get_path_or_uri(secret_free=True))).parent.resolve()
PKG = WORKFLOW / "calibench"
sys.path.insert(0, str(WORKFLOW))

from calibench import config as configuration
from calibench import fingerprint as code
from calibench import runs
from calibench.catalog import catalog
from calibench.errors import UserError
from calibench.files import canonical
from snakemake.settings.types import DeploymentMethod


def clear(function, *args):
    """Call a function of the package; its user errors stop Snakemake with the same sentence."""
    try:
        return function(*args)
    except UserError as error:
        raise WorkflowError(str(error)) from None


# Snakemake has read them already, and has kept the last of two equal keys.
for configfile in workflow.overwrite_configfiles or ():
    clear(configuration.read_yaml, configfile)
completed = clear(configuration.complete, dict(config))
config.clear()
config.update(completed)
clear(runs.check_all, config)  # before anything below relies on it

EXPERIMENT = f"results/{config['name']}"
RUNS = runs.run_names(config)
STORES = {clear(runs.store_name, config, dataset): dataset for dataset in config["datasets"]}
STORE_OF = {dataset: store for store, dataset in STORES.items()}
PRETRAINED = sorted(
    {
        f"results/weights/{backbone}-imagenet.pth"
        for backbone, run in runs.needed_runs(config)
        if runs.part_of(config, "model", backbone, runs.split_name(run)[1])["weights"] == "imagenet"
    }
)


wildcard_constraints:
    store="|".join(map(re.escape, STORES)),
    dataset="|".join(map(re.escape, config["datasets"])),
    backbone=r"[A-Za-z0-9_.-]+",
    variant=r"(\+[a-z0-9_.]+)*",
    seed=r"\d+",


# Every command starts in the interpreter that runs Snakemake, unless conda provides one; `stage` keeps a stage's
# log in its file and repeats the end of it when the stage fails, so that the reason stands on the terminal. The
# terminal itself is number 3: calibench.cli writes there what a log on a full disk does not take.
python_path = (
    ""
    if DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
    else f"export PATH='{Path(sys.executable).parent}':\"$PATH\"; "
)
shell.prefix(
    "set -euo pipefail; "
    f"{python_path}export PYTHONPATH='{WORKFLOW}'${{{{PYTHONPATH:+:$PYTHONPATH}}}}; "
    'stage() {{ local log=$1 code=0; shift; STAGE_TERMINAL=3 python -m "$@" 3>&2 2> "$log" || code=$?; '
    'if [ $code != 0 ]; then if [ -s "$log" ]; then tail -n 5 "$log" >&2 || true; '
    'else echo "$log could not be written (disk full? see df -h), or the process was killed at once" >&2; fi; fi; '
    "return $code; }}; "
)


def settings_json(value, *entry_points):
    """Canonical JSON of what a stage reads, with a fingerprint of the code that matters to it."""
    return canonical({**value, "code": clear(code.of_modules, *entry_points)})


def run_settings(regime, variant, dataset, backbone, seed):
    """Settings of one training run; names of pretrained weights become paths."""
    settings = clear(runs.settings_of, config, regime + variant, dataset, backbone, int(seed))
    if settings["model"]["weights"] == "imagenet":
        settings["model"] = settings["model"] | {"weights": f"results/weights/{backbone}-imagenet.pth"}
    regime_module = f"calibench.regimes.{catalog()[regime].file.stem}"
    settings |= {"store": STORE_OF[dataset], "code": clear(code.of_modules, "calibench.train", regime_module)}
    record = Path(run_dir(dataset, backbone, regime + variant, seed), "run.json")
    return runs.with_recorded_code(record, settings) if config["protect"] else settings


def run_of(regime):
    """Params function: the settings of a run as canonical JSON."""
    return lambda w: canonical(run_settings(regime, w.variant, w.dataset, w.backbone, w.seed))


def run_dir(dataset, backbone, run, seed):
    return f"{EXPERIMENT}/{dataset}/{backbone}/{run}/seed{seed}"


@functools.cache
def kept_code(store):
    """Code that made a protected store, by stage; nothing where it is to be made, or made again.

    A store that is not made again because the code is newer also spares Snakemake a blind spot: behind a job that has
    to run it does not look for further changes beyond `ancient` files, so that tables would lag behind by one command.
    """
    audited = config["datasets"][STORES[store]]["audit"]["enabled"]
    return clear(runs.kept_code, Path("results/store", store), audited) if config["protect"] else {}


def store_settings(stage):
    """Params function: the settings of one stage of the data, with the code it was or would be made by."""

    def settings(w):
        code = {"code": kept_code(w.store).get(stage)} if kept_code(w.store) else {}
        return canonical(
            json.loads(settings_json(runs.dataset_settings(config, STORES[w.store]), f"calibench.{stage}"))
            | code
        )

    return settings


def lists_of(w):
    files = clear(runs.list_inputs, config, STORES[w.store])
    return [ancient(f) for f in files] if kept_code(w.store) else files  # equal content, perhaps copied anew


def other_run(regime, key, file="run.json"):
    """Input function: a file of the run that this regime's setting `key` names (`backbone/run`)."""

    def path(w):
        backbone, run = clear(runs.other_run, config, regime + w.variant, w.backbone, key)
        return f"{run_dir(w.dataset, backbone, run, w.seed)}/{file}"

    return path


def other_options(wildcards, input):
    """Command-line options that hand a stage the folders of the other runs its rule names as inputs."""
    return " ".join(
        f"--other {key}={Path(str(file)).parent}" for key, file in input.items() if key not in BASE
    )


def pretrained(w):
    """The weights file a run starts from, if it has one: an input, so that it is there first."""
    model = runs.part_of(config, "model", w.backbone, w.variant)
    if model["weights"] == "none":
        return []
    return (
        f"results/weights/{w.backbone}-imagenet.pth" if model["weights"] == "imagenet" else model["weights"]
    )


@functools.cache
def has_finished_runs(dataset):
    return any(Path(EXPERIMENT, dataset).glob("*/*/seed*/run.json"))


def store_files(w):
    folder = f"results/store/{STORE_OF[w.dataset]}"
    files = [f"{folder}/{name}" for name in ("images.npy", "index.csv", "classes.csv")]
    # a store that was deleted and is made again does not take finished runs with it
    return [ancient(f) for f in files] if config["protect"] and has_finished_runs(w.dataset) else files


BASE = {"store": store_files, "pretrained": pretrained}


FEATURES = [
    f"<experiment>/{{dataset}}/{{backbone}}/<regime>{{variant}}/seed{{seed}}/features/{split}.{ext}"
    for split in ("train", "val", "test")
    for ext in ("npy", "csv")
    if config["train"]["features"]
]


def regimes_defined():
    """Regimes that have both a rule and a class."""
    return {r.name.removeprefix("train_") for r in workflow.rules if r.name.startswith("train_")}


def all_runs():
    """(dataset, backbone, run, seed) of every run the experiment asks for."""
    return [
        (dataset, backbone, run, seed)
        for dataset in config["datasets"]
        for backbone in config["backbones"]
        for run in RUNS
        for seed in config["seeds"]
    ]


def finished(paths):
    """All of the paths; with `partial: true` only those that exist."""
    return [p for p in paths if Path(p).exists()] if config["partial"] else paths


def published_files():
    """The papers' printed numbers that are set beside ours."""
    name = config["tables"]["published"]
    return [] if name is None else [WORKFLOW.parent / f"config/published/{name}.csv"]


def table_settings():
    return {key: config[key] for key in ("datasets", "backbones", "seeds")} | {
        "datasets": list(config["datasets"]),
        "runs": RUNS,
        "checkpoint": config["tables"]["checkpoint"],
        "published": config["tables"]["published"],
    }


def has_matrix(run):
    return catalog()[runs.split_name(run)[0]].matrix


def runs_of_panel(file, one_seed=False, matrix=False):
    """Input function: a file of every run in one figure (data set and backbone), regimes in the config's order."""
    seeds = config["seeds"][:1] if one_seed else config["seeds"]
    chosen = [r for r in RUNS if not matrix or has_matrix(r)]

    def paths(w):
        folders = [run_dir(w.dataset, w.backbone, run, seed) for run in chosen for seed in seeds]
        done = finished([f"{folder}/run.json" for folder in folders])
        return [str(Path(record).parent / file) for record in done]

    return paths


def classes_of(w):
    folder = f"results/store/{STORE_OF[w.dataset]}"
    return [f"{folder}/classes.csv", f"{folder}/index.csv"]


def figure_code(*modules):
    """Fingerprint of one kind of figure: a change in one retouches no other."""
    found = [
        f"calibench.{package}.{m}"
        for m in (*modules, "style")
        for package in ("plots", "metrics")
        if (PKG / package / f"{m}.py").exists()
    ]
    return clear(code.of_modules, *found)


def figure_kinds():
    kinds = ["tsne"] if config["train"]["features"] else []
    kinds += ["reliability", "retention", "density", "curves"]
    learned = any(map(has_matrix, RUNS))
    extra = [k for k in config["figures"]["extra"] if learned or k != "entropy"]
    extra = [k for k in extra if config["train"]["features"] or k != "distances"]
    return kinds + (["matrix"] if learned else []) + extra


def bars_options():
    name = config["figures"]["class"]
    return f"--checkpoint {config['tables']['checkpoint']}" + (
        f" --class {shlex.quote(name)}" if name else ""
    )


FIGURES = [
    f"{EXPERIMENT}/figures/{kind}-{dataset}-{backbone}.png"
    for kind in figure_kinds()
    for dataset in config["datasets"]
    for backbone in config["backbones"]
    if not config["partial"]
    or any(
        Path(run_dir(dataset, backbone, run, seed), "run.json").exists()
        for run in RUNS
        if kind not in ("matrix", "entropy") or has_matrix(run)
        for seed in config["seeds"][:1]
    )
]


def figures_of(kind):
    return [f for f in FIGURES if Path(f).name.startswith(f"{kind}-")]


def tested_logits(w):
    folder = Path(run_dir(w.dataset, w.backbone, w.run, w.seed), "predictions")
    return [folder / config["tables"]["checkpoint"] / f"{split}.npy" for split in ("val", "test")]


def with_runs(file, only=None):
    """A file of every run of the experiment, or of one data set; with `partial: true` of finished runs only."""
    folders = [run_dir(*r) for r in all_runs() if only in (None, r[0])]
    done = finished([f"{folder}/run.json" for folder in folders])
    return [str(Path(record).parent / file) for record in done]


def check_rules():
    for run in RUNS:
        regime = runs.split_name(run)[0]
        if regime in catalog() and regime not in regimes_defined():
            raise WorkflowError(
                f"config: runs: '{run}': regime '{regime}' has a class but no rule; "
                "add one to workflow/rules/regimes.smk (docs/adding-a-regime.md)"
            )


def check_finished_runs():
    """An edited config or a newer version of the code never deletes a finished run without being asked."""
    older, trained_on = 0, dict.fromkeys(STORE_OF, 0)
    for dataset, backbone, run, seed in all_runs():
        record = Path(run_dir(dataset, backbone, run, seed)) / "run.json"
        if record.exists():
            trained_on[dataset] += 1
            clear(runs.check_same_data, record, Path(f"results/store/{STORE_OF[dataset]}/index.csv"))
            wanted = run_settings(*runs.split_name(run), dataset, backbone, seed)
            clear(runs.check_unchanged, record, wanted)
            regime_module = f"calibench.regimes.{catalog()[runs.split_name(run)[0]].file.stem}"
            older += wanted["code"] != code.of_modules("calibench.train", regime_module)
    for dataset, store in STORE_OF.items():
        clear(runs.check_list_unchanged, config, dataset, Path(f"results/store/{store}"), trained_on[dataset])
    if older:
        print(
            f"note: {older} finished runs were trained by another version of the code and are kept; "
            "`protect: false` trains them anew",
            file=sys.stderr,
        )


def check_experiment():
    """Everything that can be wrong with a config is told before anything is planned."""
    check_rules()
    for dataset in config["datasets"]:
        if not Path(f"results/store/{STORE_OF[dataset]}/images.npy").exists():
            clear(runs.check_root, config, dataset)
    if config["protect"]:
        check_finished_runs()


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
