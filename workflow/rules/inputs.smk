# Input and params functions of the rules: which files of which runs, from the plan of common.smk.


def grows(mem_mb, minutes):
    """Memory and run time that grow with each attempt."""
    return {
        "mem_mb": lambda w, attempt: mem_mb * attempt,
        "runtime": lambda w, attempt: minutes * attempt,
    }


ON_GPU = {
    "gpu": config["resources"]["gpu"],
    **grows(config["resources"]["train_mem_mb"], config["resources"]["train_minutes"]),
}


def run_of(regime):
    """Params function: the settings of a run as canonical JSON; of the regime of the wildcard, where none is named.

    It takes wildcards only: Snakemake does not compare params that are made from outputs, and would retrain nothing.
    """
    return lambda w: canonical(
        as_workflow_error(PLAN.run_settings, w.dataset, w.backbone, (regime or w.regime) + w.variant, w.seed)
    )


def inputs_of(regime):
    """Inputs of a training: its store, its pretrained weights, and the record of each run that the regime needs.

    The record is written last, so all files of the run exist. A rule that inherits the inputs of `hard` needs no
    runs: do not read settings there, because its variants may have settings that `hard` does not know.
    """
    builds = regime is None or catalog()[regime].other_runs or catalog()[regime].combines
    return {
        "store": lambda w: store_files(w, (regime or w.regime) + w.variant),
        "pretrained": lambda w: PLAN.weights_of(w.backbone, (regime or w.regime) + w.variant),
        "others": lambda w: (
            [f"{folder}/{names.RECORD}" for folder in others_of(regime or w.regime, w).values()]
            if builds
            else []
        ),
    }


def others_of(regime, w):
    return as_workflow_error(PLAN.other_runs, w.dataset, w.backbone, regime + w.variant, w.seed)


def store_files(w, run=None):
    """The store a run is trained on, or without a run that of the images; if it is made again, finished runs stay."""
    files = features.store_files(PLAN, w.dataset, w.backbone, run)
    keep = config["protect"] and PLAN.has_finished_runs(w.dataset)
    return [ancient(f) for f in files] if keep else files


def data_settings(stage):
    """Params function: the settings of one stage of the data as canonical JSON."""
    return lambda w: canonical(as_workflow_error(PLAN.data_settings, w.store, stage))


def lists_of(w):
    """The list files of a data set; for a protected store their content matters, not their time.

    Only here it is checked that they exist: targets that need no data (`weights`, a finished store) work without.
    """
    dataset = PLAN.dataset_of[w.store]
    if not Path(PLAN.store_dir(dataset), "images.npy").exists():
        as_workflow_error(checks.check_root, config, dataset)
    files = as_workflow_error(checks.list_inputs, config, dataset)
    return [ancient(f) for f in files] if PLAN.kept_code(w.store) else files


def panel(file):
    """Input function: this file of every run in one figure."""
    return lambda w: PLAN.panel_files(w.kind, w.dataset, w.backbone, file)


def figure_options(w):
    """Params function: the options of one kind of figure; of wildcards only, as in run_of."""
    figures, store = config["figures"], PLAN.store_dir(w.dataset)
    own = {
        "tsne": [
            *("--index", f"{store}/index.csv", "--seed", figures["tsne_seed"]),
            *("--points", figures["tsne_points"], "--group", figures["tsne_group"] or 0),
            *("--zoom", figures["tsne_zoom"]),
            *("--out-data", f"{EXPERIMENT}/figures/tsne-{w.dataset}-{w.backbone}.csv"),
        ],
        "bars": ["--class", figures["class"]] if figures["class"] else [],
        "classmeans": ["--of", figures["classmeans_of"]],
        "netbenefit": ["--positive", *config["statistics"]["positive"]],
        "noise": ["--variants", ",".join(PLAN.noise_variants())],
        "shift": ["--shift", TABLE_OF["shift"]],
        "sweep": ["--metrics", TABLE_OF["sweep"], "--settings", canonical(PLAN.sweep_settings())],
    }
    words = own.get(w.kind, [])
    if w.kind in WITH_CLASSES:
        words = ["--classes", f"{store}/classes.csv", *words]
    if w.kind not in ("tsne", "matrix", "distances", "sweep"):
        words = [*SHOWN, *words]
    return shlex.join(map(str, words))


def of_runs(file):
    """Input function: a file of every run of the experiment, or of one data set."""
    return lambda w: PLAN.files_of_runs(file, w.get("dataset"))


def of_all(file):
    """Input function: as of_runs, with predictions of other programs and the seed ensembles behind the runs."""
    kinds = (PLAN.files_of_runs, PLAN.external, PLAN.derived)
    return lambda w: [path for files_of in kinds for path in files_of(file, w.get("dataset"))]


def votes_of(w):
    """The votes on a data set's images, where the config names a file of them."""
    return f"{PLAN.store_dir(w.dataset)}/votes.npy" if config["datasets"][w.dataset]["votes"] else []


def analysed_files(w, *files):
    """These files of all that is analysed in one job."""
    folders = PLAN.analysed_together(w.dataset, w.backbone, w.run)
    return [f"{folder}/{file}" for folder in folders for file in files]


def of_sets(w):
    """Input function: predictions on the evaluation sets besides test, of the experiment's or one data set's runs."""
    return [path for file in PLAN.set_files for path in of_all(file)(w)]


def site_options(dataset):
    """Options of the stage evaluate: the images of each site, and which of them to predict."""
    sites = zip(config["evaluate_on"]["sites"], PLAN.site_files(dataset), strict=True)
    return " ".join(f"--site {site} {PLAN.store_dir(site)}/images.npy {index}" for site, index in sites)
