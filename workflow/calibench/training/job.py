"""One training run: build everything from its settings and seed, train, and write the outputs."""

import datetime
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from calibench import cli, regimes
from calibench.backbones import classifier
from calibench.backbones.classifier import Classifier
from calibench.backbones.pretrained import load_pretrained
from calibench.data.batches import Images, check_sizes
from calibench.data.stored import read_classes, read_store
from calibench.data.vectors import Vectors, copies_of
from calibench.errors import UserError
from calibench.files import sha256_of
from calibench.finished import names, reuse, write
from calibench.finished.network import load_head, load_network
from calibench.regimes.base import Regime
from calibench.training import loop, predicting
from calibench.training.checkpoint import CheckpointFolder
from calibench.training.device import (
    choose_precision,
    free_memory,
    peak_memory_mb,
    precision_record,
    set_determinism,
    take_device,
)
from calibench.training.labelnoise import given_labels
from calibench.training.provenance import provenance
from calibench.training.randomness import Purpose, seed_torch
from calibench.training.snapshots import Snapshots
from calibench.training.step import Job, Split
from calibench.training.writing import host_copy

log = logging.getLogger(__name__)


def split_images(
    store: np.ndarray, index: pd.DataFrame, device: torch.device, resident: str, sharers: int = 1
) -> dict[str, Images | Vectors]:
    """Images, or features, of train, val, test, and of the part ``select`` of validation."""
    parts = {s: index.loc[index["split"] == s, "row"].to_numpy() for s in ("train", "val", "test")}
    parts["select"] = index.loc[index["part"] == "select", "row"].to_numpy()
    for name, rows in parts.items():
        if len(rows) == 0:
            raise UserError(
                f"index.csv has no images in '{name}'; add some to the list, or lower datasets.<name>.calibrate"
            )
    if store.ndim == 2:
        copies = {"train": copies_of(store, index)}
        return {name: Vectors(store, rows, device, copies.get(name)) for name, rows in parts.items()}
    held = {"train": resident, "select": resident}
    return {
        name: Images(store, rows, device, held.get(name, "never"), sharers) for name, rows in parts.items()
    }


def _predictions_of(run_dir: Path) -> dict[str, torch.Tensor]:
    logits, rows = reuse.read_part(run_dir, "top1", "select")
    targets = rows["target"].to_numpy(np.int64, copy=True)
    return {"val_logits": torch.from_numpy(logits), "val_targets": torch.from_numpy(targets)}


def prepare_regime(
    regime: Regime,
    others: Sequence[Path],
    given: dict[str, Any],
    num_classes: int,
    device: torch.device,
    layout: torch.memory_format,
    model: Classifier,
):
    """Pass its inputs to a regime, from this run (``given``) and from others; returns the teacher model, if any."""
    arrays, teacher = dict(given), None
    if len(others) != len(regime.other_runs):
        wanted = ", ".join(regime.other_runs) or "none"
        raise UserError(f"regime '{regime.name}' needs these runs: {wanted}; --others names {len(others)}")
    vectors = isinstance(model.body, torch.nn.Identity)  # then a teacher is also a head on stored features
    for folder, kind in zip(others, regime.other_runs.values(), strict=True):
        if kind == "predictions":
            arrays |= _predictions_of(folder)
        elif kind == "regime":
            arrays |= reuse.read_state(folder)
            arrays["other_settings"] = reuse.read_record(folder)["settings"]["regime"]
        else:
            teacher = load_head(folder) if vectors else load_network(folder, num_classes)
            teacher = teacher.to(device=device, memory_format=layout)
    wanted = {name: arrays[name] for name in regime.inputs if name in arrays}
    missing = set(regime.inputs) - set(wanted)
    if missing:
        raise UserError(
            f"regime '{regime.name}': the run it needs has no '{sorted(missing)[0]}'; check {', '.join(map(str, others))}"
        )
    if wanted:
        regime.prepare(**wanted)
    return teacher


def make_model(settings: dict[str, Any], store: np.ndarray, num_classes: int, size: int) -> Classifier:
    """The network of a run, initialised from its seed; on features (N, D) its head alone.

    Raises:
        UserError: if the images are too small, or the weights do not fit.
    """
    run = settings["run"]
    if store.ndim != 2:
        check_sizes(store.shape[1], size, settings["augment"])
    seed_torch(run["seed"], Purpose.INIT)
    if store.ndim == 2:
        return classifier.head_alone(store.shape[1], num_classes)
    model = classifier.build(run["backbone"], num_classes, settings["model"])
    if settings["model"]["weights"] != "none":
        load_pretrained(model, settings["model"]["weights"])
    model.fit_to_size(size)
    return model


def make_job(
    settings: dict[str, Any],
    store_dir: Path,
    run_dir: Path,
    others: Sequence[Path],
    device: torch.device,
    stage: bool = False,
    runs_per_gpu: int = 1,
):
    """Everything for a run, newly initialised from its seed: (job, images per split, index)."""
    train, run = settings["train"], settings["run"]
    store, index, num_classes = read_store(store_dir, stage)
    splits = split_images(store, index, device, train["resident"], runs_per_gpu)
    size = train["input_size"] or store.shape[1]
    model = make_model(settings, store, num_classes, size)
    layout = torch.channels_last if train["memory_format"] == "channels_last" else torch.contiguous_format
    model = model.to(device=device, memory_format=layout)
    regime = regimes.build(run["regime"], num_classes, **settings["regime"])
    given = {"train_size": len(splits["train"]), "epochs": train["epochs"]}
    if "feature_map" in regime.needs:
        model.watch_feature_map()
    if "stages" in regime.needs:
        given["stage_shapes"] = model.watch_stages(size)
    teacher = prepare_regime(regime, others, given, num_classes, device, layout, model)
    regime = regime.to(device)
    test = _split(splits, index, "test", device) if train.get("watch_test") else None
    job = Job(
        settings,
        model,
        regime,
        _train_split(splits["train"], index, list(read_classes(store_dir / "classes.csv")), settings, device),
        _split(splits, index, "select", device),
        device,
        CheckpointFolder(run_dir, settings),
        teacher,
        choose_precision(train["precision"], device, model.depthwise),
        test,
    )
    return job, splits, index


def _split(splits: dict[str, Images], index: pd.DataFrame, name: str, device: torch.device) -> Split:
    targets = index.set_index("row").loc[splits[name].rows, "target"].to_numpy(np.int64, copy=True)
    return Split(splits[name], torch.from_numpy(targets).to(device))


def _train_split(
    images: Images, index: pd.DataFrame, classes: list[str], settings: dict[str, Any], device: torch.device
) -> Split:
    """The training images with their labels, and with the true labels if some of those are wrong."""
    rows = index.set_index("row").loc[images.rows]
    given, clean = given_labels(rows, classes, settings["data"], settings["run"]["seed"])
    wrong = torch.from_numpy(clean).to(device) if (given != clean).any() else None
    return Split(images, torch.from_numpy(given).to(device), wrong)


def _reporter(epochs: int):
    bar = tqdm(total=epochs, unit="epoch", disable=None)  # None: only on a terminal

    def report(line: dict[str, Any]) -> None:
        bar.update()
        shown = {k: f"{line[k]:.3f}" for k in ("loss", "train_top1", "val_top1", "val_nll")}
        bar.set_postfix(shown)
        if bar.disable:
            text = " ".join(f"{k} {v}" for k, v in shown.items())
            log.info("epoch %d/%d %s %.0f images/s", line["epoch"], epochs, text, line["images_per_second"])

    return report


def _make_room(job: Job, splits: dict[str, Images]) -> None:
    """Free what only training needs: predictions need memory for float32 and larger batches."""
    job.teacher = None
    job.model.zero_grad(set_to_none=True)
    for images in splits.values():
        images.release()
    free_memory(job.device)


def finish(
    job: Job,
    splits: dict[str, Images],
    index: pd.DataFrame,
    store_dir: Path,
    started: float,
    snapshots: Snapshots,
    together: int = 1,
) -> None:
    """Write all outputs of a trained run into its checkpoint folder, ``run.json`` last.

    Not to their places: a restarted Snakemake deletes declared outputs while this process may still be writing them.
    A run that was trained with others at the same time counts its share of the ``training_seconds`` of them ``together``.
    """
    out = job.folder.new_outputs()
    best = {which: found["epoch"] for which, found in job.progress["best"].items()}
    epochs = best | {"last": job.settings["train"]["epochs"]}
    _make_room(job, splits)
    last = host_copy(job.model.state_dict())
    weights = {which: job.folder.best(which, epoch) for which, epoch in best.items()} | {"last": last}
    for checkpoint, tensors in weights.items():
        write.write_weights(out, checkpoint, tensors)
    write.write_state(out, job.regime.state_dict())
    predicting.write_all_predictions(out, job.model, weights, epochs, splits, index, job.settings)
    snapshots.finish(out)
    write.write_history(out / names.HISTORY, job.history)
    now = time.time()
    record = {
        "run": job.settings["run"],
        "settings": job.settings,
        "data": {"index": sha256_of(store_dir / "index.csv"), "input_size": job.size},
        "epochs": epochs,
        "features_checkpoint": job.settings["train"]["features_checkpoint"],
        "precision": precision_record(job.device, job.precision),
        "provenance": provenance(job.device)
        | {
            "started": datetime.datetime.fromtimestamp(started, datetime.UTC).isoformat(timespec="seconds"),
            "finished": datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat(timespec="seconds"),
            "seconds": now - started,
            "training_seconds": sum(line["seconds"] for line in job.history) / together,
            "peak_memory_mb": peak_memory_mb(job.device),
        },
    }
    write.write_record(out, record)


def train_run(
    settings: dict[str, Any],
    store_dir: Path,
    run_dir: Path,
    others: Sequence[Path],
    stage: bool = False,
    runs_per_gpu: int = 1,
) -> None:
    """Train one run and write its outputs, starting from its checkpoint if there is one.

    Args:
        settings: of the run.
        store_dir: folder of the decoded images.
        run_dir: folder for outputs and checkpoint.
        others: folders of the other runs that its regime needs.
        stage: copy the images to the node first.
        runs_per_gpu: how many runs may share a GPU.
    """
    started = time.time()
    set_determinism(settings["train"]["deterministic"])
    folder = CheckpointFolder(run_dir, settings)
    with folder.locked():
        if folder.restore_finished(names.files_of(settings["train"])):
            return
        with take_device(settings["train"]["device"], runs_per_gpu) as device:
            job, splits, index = make_job(settings, store_dir, run_dir, others, device, stage, runs_per_gpu)
            log.info(loop.describe(job))
            snapshots = Snapshots(settings, splits, job.folder)
            try:
                loop.fit(job, _reporter(settings["train"]["epochs"]), snapshots.take)
            except loop.Interrupted:
                cli.tell(f"{run_dir}: {loop.stopped_at(job)}; the same command continues from there")
                raise
            finish(job, splits, index, store_dir, started, snapshots)
            folder.publish(names.files_of(settings["train"]))
