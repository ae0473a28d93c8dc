"""Runs that train a head on features: the features that they share, and checks of their settings."""

import hashlib
from pathlib import Path
from typing import Any

from calibench.backbones.special import EMBEDDINGS
from calibench.errors import UserError
from calibench.files import canonical, read_json
from calibench.finished.sets import evaluation_sets
from calibench.planning import fingerprint
from calibench.planning.naming import split_name
from calibench.planning.settings import needed_runs, other_run, part_of, runs_named

# needs that features cannot give; a second view of features would be the same view, or one of few copies
OF_IMAGES = {"feature_map": "the last feature map", "classifier": "the last feature map"}
OF_IMAGES |= {"stages": "the maps of the network's stages", "second_view": "a second view of each image"}
BATCH = 256  # images in one pass; changes numbers only by rounding


def is_frozen(config: dict[str, Any], backbone: str, run: str) -> bool:
    """Whether a run trains only a head, on features of a frozen network."""
    return part_of(config, "model", backbone, split_name(run)[1])["freeze"] == "body"


def is_head(config: dict[str, Any], backbone: str, run: str) -> bool:
    """Whether a run trains only a head, on features of a frozen network or on embeddings."""
    return backbone == EMBEDDINGS or is_frozen(config, backbone, run)


def settings_of_features(config: dict[str, Any], dataset: str, backbone: str, run: str) -> dict[str, Any]:
    """The settings behind the features of a run with a frozen body."""
    variant = split_name(run)[1]
    model, train, augment = (
        part_of(config, part, backbone, variant) for part in ("model", "train", "augment")
    )
    return {
        "backbone": backbone,
        "model": {key: value for key, value in model.items() if key not in ("freeze", "copies")},
        "input_size": train["input_size"] or config["datasets"][dataset]["store"]["size"],
        "copies": model["copies"],
        "augment": augment,
        "memory_format": train["memory_format"],
        "batch_size": BATCH,
    }


def name_of(settings: dict[str, Any]) -> str:
    """Name of the folder of features; the augmentation matters only with augmented copies."""
    counts = settings if settings["copies"] else {**settings, "augment": None}
    return "features-" + hashlib.sha256(canonical(counts).encode()).hexdigest()[:10]


def folder_of(config: dict[str, Any], dataset: str, backbone: str, run: str) -> str:
    """Name of the folder with the features of a run, inside that of the store; '' for a run on images."""
    if not is_frozen(config, backbone, run):
        return ""
    return name_of(settings_of_features(config, dataset, backbone, run))


def store_files(plan: Any, dataset: str, backbone: str, run: str | None) -> list[str]:
    """Files of the store for a run: images or features, with index and classes; without a run those of the images."""
    features = folder_of(plan.config, dataset, backbone, run) if run else ""
    folder = Path(plan.store_dir(dataset), features)
    return [str(folder / name) for name in ("images.npy", "index.csv", "classes.csv")]


def stage_settings(plan: Any, store: str, name: str) -> dict[str, Any]:
    """The settings of the stage ``features``; protected features keep the code that made them."""
    dataset = plan.dataset_of[store]
    backbone, run = all_features(plan.config, dataset)[name]
    found = settings_of_features(plan.config, dataset, backbone, run)
    if weights := plan.weights_of(backbone, run):
        found["model"] = found["model"] | {"weights": weights[0]}
    report = Path(plan.results, "store", store, name, "features.json")
    kept = read_json(report)["code"] if plan.config["protect"] and report.exists() else ""
    return found | {"code": kept or fingerprint.of_modules("calibench.stages.features")}


def all_features(config: dict[str, Any], dataset: str) -> dict[str, tuple[str, str]]:
    """{folder of features: (backbone, a run that uses them)} of a data set."""
    frozen = [found for found in sorted(needed_runs(config)) if is_frozen(config, *found)]
    return {name_of(settings_of_features(config, dataset, *found)): found for found in reversed(frozen)}


def check_run(
    config: dict[str, Any], backbone: str, run: str, needs: set[str], settings: dict[str, Any]
) -> None:
    """Raise UserError if a run on features needs something that only images have."""
    where = f"config: run '{run}' on {backbone}"
    on_embeddings = [name for name, data in config["datasets"].items() if data["format"] == "embeddings"]
    if (
        on_embeddings
        and backbone != EMBEDDINGS
        or backbone == EMBEDDINGS
        and len(on_embeddings) < len(config["datasets"])
    ):
        raise UserError(
            f"{where}: the backbone {EMBEDDINGS} is for data sets of format embeddings, and only for them; use a "
            "separate experiment for data sets of images"
        )
    if on_embeddings and evaluation_sets(config["evaluate_on"]):
        raise UserError("config: evaluate_on needs images, but the data sets are embeddings; remove it")
    frozen = settings["model"]["freeze"] == "body"
    if not frozen and settings["model"]["copies"]:
        raise UserError(f"{where}: model.copies needs model.freeze: body; set that, or remove copies")
    if frozen and backbone == EMBEDDINGS:
        raise UserError(f"{where}: embeddings are features already; remove model.freeze")
    if not frozen and backbone != EMBEDDINGS:
        return
    if frozen and settings["model"]["weights"] == "none":
        raise UserError(f"{where}: model.freeze: body needs pretrained weights; set model.weights")
    lacking = [OF_IMAGES[need] for need in sorted(needs) if need in OF_IMAGES]
    if lacking:
        raise UserError(
            f"{where}: regime '{split_name(run)[0]}' needs {lacking[0]}, which a head on features does not have; use another regime"
        )
    mixing = [name for name in ("mixup", "cutmix") if settings["augment"][name] is not None]
    if mixing:
        raise UserError(
            f"{where}: augment.{mixing[0]} mixes images, but a head is trained on features; remove it"
        )
    _check_teacher(config, backbone, run, where)


def _check_teacher(config: dict[str, Any], backbone: str, run: str, where: str) -> None:
    """Raise UserError unless the teacher of a head is a head on the same features."""
    dataset = next(iter(config["datasets"]))
    for key, (wanted, _) in runs_named(config, run, backbone).items():
        other_backbone, other = other_run(config, run, backbone, key)
        if wanted != "weights" or backbone == EMBEDDINGS == other_backbone:
            continue
        both = [(backbone, run), (other_backbone, other)]
        same = all(is_frozen(config, *one) for one in both)
        if not same or len({name_of(settings_of_features(config, dataset, *one)) for one in both}) > 1:
            raise UserError(
                f"{where}: {key}: '{other_backbone}/{other}' is not trained on the same features; name another run"
            )
