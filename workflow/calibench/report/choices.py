"""What the paper leaves out, and what was chosen for it here."""

from collections.abc import Callable

from calibench.metrics.calibration import BINS
from calibench.report import options
from calibench.report.experiment import Experiment
from calibench.report.html import Html, heading, join, paragraph, table

Row = tuple[str, str, str]
WHOLE = {"files", "split"}  # groups of keys: they have no default of their own


def _train(missing: str, *paths: str) -> Callable[[Experiment], list[Row]]:
    """Rows for keys of the recipe; the value over backbones, the provenance from the schema."""

    def rows(experiment: Experiment) -> list[Row]:
        found = {path: options.of_recipe(experiment, path) for path in paths}
        return [
            (missing, f"{p}: {options.common(v)}", options.origin(p, v.values())) for p, v in found.items()
        ]

    return rows


def _regime(missing: str, name: str, *keys: str) -> Callable[[Experiment], list[Row]]:
    """Rows for settings of a regime, the provenance from its class; none if the regime takes no part."""

    def rows(experiment: Experiment) -> list[Row]:
        if name not in experiment.regimes:
            return []
        texts = options.argument_texts(experiment.regimes[name])
        return [
            (missing, f"{k}: {options.of_regime(experiment, name, k)}", texts.get(k, ""))
            for k in keys
            if k in texts
        ]

    return rows


def _dataset(missing: str, *paths: str) -> Callable[[Experiment], list[Row]]:
    """Rows for keys of the data sets, as ``store.colour``."""

    def rows(experiment: Experiment) -> list[Row]:
        out = []
        for path in paths:
            found = {}
            for name, settings in experiment.config["datasets"].items():
                value = settings
                for key in path.split("."):
                    value = value.get(key, {})
                found[name] = value
            texts = {name: options.show(value) for name, value in found.items()}
            agreed = len(set(texts.values())) == 1
            text = next(iter(texts.values())) if agreed else "; ".join(f"{v} ({k})" for k, v in texts.items())
            origin = (
                options.description(f"dataset.{path}")
                if path in WHOLE
                else options.origin(f"dataset.{path}", found.values())
            )
            out.append((missing, f"{path}: {text}", origin))
        return out

    return rows


def _vgg(experiment: Experiment) -> list[Row]:
    used = [b for b in experiment.backbones if b.startswith("vgg")]
    norm = ", ".join(f"{b}: {'with' if b.endswith('_bn') else 'without'} batch norm" for b in used)
    return (
        [("VGG with or without batch norm", norm, "the backbone's name in the config; ours")] if used else []
    )


def _rest(experiment: Experiment) -> list[Row]:
    config = experiment.config
    checkpoint = config["tables"]["checkpoint"]
    return [
        (
            "Which checkpoint is evaluated",
            f"tables.checkpoint: {checkpoint}",
            options.origin("tables.checkpoint", [checkpoint]),
        ),
        ("Seeds", f"seeds: {options.show(config['seeds'])}", "ours"),
        ("ECE: bins and kind", f"top label, {BINS} equal-width bins", "Guo et al. 2017"),
        ("t-SNE settings", _tsne(config["figures"]), "perplexity 30 is scikit-learn's default; ours"),
    ]


def _tsne(figure: dict) -> str:
    from calibench.figures.tsne import PERPLEXITY, SPLIT

    return f"perplexity {PERPLEXITY:g}, PCA start, seed {figure['tsne_seed']}, images of {SPLIT}"


MISSING: list[Callable[[Experiment], list[Row]]] = [
    _regime("α of OLS", "ols", "alpha"),
    _regime("Class without a correct prediction (OLS)", "ols", "fallback"),
    _regime("ε of label smoothing", "ls", "eps"),
    _regime("Tf-KD: variant, T, α, multiplier", "tfkd_reg", "alpha", "T", "a", "multiplier", "tempered"),
    _train("Epochs", "train.epochs"),
    _train("Steps of the learning rate", "train.schedule", "train.milestones", "train.decay"),
    _train("Momentum, weight decay, Nesterov", "train.momentum", "train.weight_decay", "train.nesterov"),
    _train("Warm-up, precision", "train.warmup_epochs", "train.precision"),
    _dataset("Images per class; is the test set sampled too", "sample.per_class", "sample.splits"),
    _dataset("Split and its sizes", "files", "split"),
    _train("Crop and flip", "augment.crop", "augment.pad", "augment.pad_mode", "augment.flip"),
    _dataset("Colour order, interpolation", "store.colour", "store.interpolation"),
    _train("Source of pretrained weights", "model.weights"),
    _vgg,
    _train("Dropout", "model.dropout"),
    _rest,
]


def left_out(experiment: Experiment) -> Html:
    """Missing item → our choice → where it comes from."""
    rows = [row for make in MISSING for row in make(experiment)]
    breaks = [i for i, row in enumerate(rows) if i == 0 or row[0] != rows[i - 1][0]]
    text = (
        "The target paper (arXiv 2510.20011) states image reading, size, scaling, batch size, optimizer "
        "family and "
        "initial learning rate. It leaves out the following; each choice is a key of the config."
    )
    body = table(
        ["Not stated in the paper", "Chosen here", "Where the choice comes from"],
        rows,
        label="What the paper leaves out and what was chosen",
        stack=True,
        breaks=breaks,
        text_columns=[1, 2],
    )
    return join([heading("What the paper leaves out, and what was chosen", "choices"), paragraph(text), body])
