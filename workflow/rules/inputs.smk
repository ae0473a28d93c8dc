# Input and params functions of the rules: which files of which runs, from the plan of common.smk.


def run_of(regime):
    """Params function: the settings of a run as canonical JSON; of the regime of the wildcard, where none is named."""
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


def panel(kind, *files):
    """Input function: these files of every run in one figure; by default its record."""
    wanted = files or [names.RECORD]
    return lambda w: [path for f in wanted for path in PLAN.panel_files(kind, w.dataset, w.backbone, f)]


def bars_options(w, input):
    """Params function: the class in the figure `bars`."""
    name = config["figures"]["class"]
    chosen = f" --class {shlex.quote(name)}" if name else ""
    return f"--classes {input.classes} {SHOWN}{chosen}"


def benefit_options(w, input):
    """Params function: which classes are a finding."""
    positive = " ".join(map(shlex.quote, config["statistics"]["positive"]))
    return f"--classes {input.classes} {SHOWN} --positive {positive}"


def of_runs(file):
    """Input function: a file of every run of the experiment, or of one data set."""
    return lambda w: PLAN.files_of_runs(file, w.get("dataset"))


def of_all(file):
    """Input function: as of_runs, with predictions from elsewhere and the seed ensembles behind the runs."""
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
    """Options of the stage evaluate: each site's images and which of them are asked about."""
    sites = zip(config["evaluate_on"]["sites"], PLAN.site_files(dataset), strict=True)
    return " ".join(f"--site {site} {PLAN.store_dir(site)}/images.npy {index}" for site, index in sites)
