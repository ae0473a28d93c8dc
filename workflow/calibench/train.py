"""Stage: train one run (data set × backbone × regime × seed), then predict with its weights.

Resumes by itself: start it again and it goes on from its last checkpoint.
"""

import argparse
import contextlib
import datetime
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from tqdm import tqdm

from calibench import cli, files, models, regimes, staging
from calibench.data.batches import Images, check_sizes
from calibench.errors import UserError
from calibench.regimes.base import Regime
from calibench.training import loop, outputs
from calibench.training.checkpoint import CheckpointFolder, save_tensors
from calibench.training.device import peak_memory_mb, set_determinism, take_device
from calibench.training.randomness import Purpose, noisy_labels, seed_torch

log = logging.getLogger(__name__)
SETTINGS = ("model", "train", "augment", "data", "regime", "run")


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Tell a file of the store that is missing, empty or cut off in one sentence."""
    try:
        yield
    except (FileNotFoundError, EOFError, ValueError) as error:  # what NumPy and pandas make of bad bytes
        what = "is missing" if isinstance(error, FileNotFoundError) else "is damaged"
        raise UserError(f"{path} {what}; delete the folder {path.parent} and run again") from error


def _read_table(path: Path, **options: Any) -> pd.DataFrame:
    with _whole(path):
        if not path.read_bytes().endswith(b"\n"):
            raise ValueError("empty, or the last line is cut off")
        return pd.read_csv(path, keep_default_na=False, **options)


def read_store(folder: Path, stage: bool = False) -> tuple[np.ndarray, pd.DataFrame, int]:
    """Memory map of the images (of a copy on the node, with ``stage``), their index, and the number of classes.

    Raises:
        UserError: if a file is missing or damaged, or index and images do not match.
    """
    images = folder / "images.npy"
    with _whole(images):
        store = np.load(staging.stage(images) if stage else images, mmap_mode="r")
    index = _read_table(folder / "index.csv", dtype={"group": str, "stratum": str, "label": str})
    classes = _read_table(folder / "classes.csv")
    if len(index) != len(store):
        raise UserError(
            f"{folder}: index.csv has {len(index)} rows, images.npy {len(store)}; delete the folder and run again"
        )
    return store, index, len(classes)


def split_images(
    store: np.ndarray, index: pd.DataFrame, device: torch.device, resident: str
) -> dict[str, Images]:
    """Images of train, val, test and of validation's ``select`` part."""
    parts = {s: index.loc[index["split"] == s, "row"].to_numpy() for s in ("train", "val", "test")}
    parts["select"] = index.loc[index["part"] == "select", "row"].to_numpy()
    for name, rows in parts.items():
        if len(rows) == 0:
            raise UserError(
                f"index.csv has no images in '{name}'; add some to the list, or lower datasets: …: calibrate"
            )
    held = {"train": resident, "select": resident}
    return {name: Images(store, rows, device, held.get(name, "never")) for name, rows in parts.items()}


def _targets(index: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    return index.set_index("row").loc[rows, "target"].to_numpy(np.int64, copy=True)


def _other_predictions(run_dir: Path) -> dict[str, torch.Tensor]:
    rows = pd.read_csv(run_dir / "predictions" / "val.csv", keep_default_na=False)
    chosen = (rows["part"] == "select").to_numpy()
    logits = np.load(run_dir / "predictions" / "top1" / "val.npy")[chosen]
    return {
        "val_logits": torch.from_numpy(logits),
        "val_targets": torch.from_numpy(rows["target"].to_numpy()[chosen]),
    }


def load_run(run_dir: Path, num_classes: int, which: str = "top1") -> models.Classifier:
    """The trained model of a finished run, in evaluation mode, on the CPU."""
    record = files.read_json(run_dir / "run.json")
    model = models.build(record["run"]["backbone"], num_classes, record["settings"]["model"])
    model.load_state_dict(load_file(run_dir / "weights" / f"{which}.safetensors"))
    return model.eval().requires_grad_(False)


def prepare_regime(
    regime: Regime, others: dict[str, Path], train_size: int, num_classes: int, device: torch.device
):
    """Give a regime what it asked for of other runs; returns the teacher model, if it wants one."""
    arrays: dict[str, Any] = {"train_size": train_size} if "train_size" in regime.inputs else {}
    teacher = None
    for key, kind in regime.other_runs.items():
        if key not in others:
            raise UserError(f"regime '{regime.name}' needs another run: pass --other {key}=RUN_FOLDER")
        if kind == "predictions":
            arrays |= _other_predictions(others[key])
        elif kind == "regime":
            arrays |= load_file(others[key] / "regime.safetensors")
            arrays["other_settings"] = files.read_json(others[key] / "run.json")["settings"]["regime"]
        else:
            teacher = load_run(others[key], num_classes).to(device)
    wanted = {name: arrays[name] for name in regime.inputs if name in arrays}
    missing = set(regime.inputs) - set(wanted)
    if missing:
        raise UserError(
            f"regime '{regime.name}': the run it builds on has no '{sorted(missing)[0]}'; check {list(others)}"
        )
    if wanted:
        regime.prepare(**wanted)
    return teacher


def make_job(
    settings: dict[str, Any],
    store_dir: Path,
    run_dir: Path,
    others: dict[str, Path],
    device: torch.device,
    stage: bool = False,
):
    """Everything a run needs, freshly initialised from its seed: (job, images per split, index)."""
    train, run = settings["train"], settings["run"]
    store, index, num_classes = read_store(store_dir, stage)
    splits = split_images(store, index, device, train["resident"])
    check_sizes(store.shape[1], train["input_size"] or store.shape[1], settings["augment"])
    seed_torch(run["seed"], Purpose.INIT)
    model = models.build(run["backbone"], num_classes, settings["model"])
    if settings["model"]["weights"] != "none":
        models.load_pretrained(model, settings["model"]["weights"])
    layout = torch.channels_last if train["memory_format"] == "channels_last" else torch.contiguous_format
    model = model.to(device=device, memory_format=layout)
    regime = regimes.build(run["regime"], num_classes, **settings["regime"])
    if "feature_map" in regime.needs:
        model.watch_feature_map()
    teacher = prepare_regime(regime, others, len(splits["train"]), num_classes, device)
    regime = regime.to(device)
    labels = noisy_labels(
        _targets(index, splits["train"].rows), settings["data"]["label_noise"], num_classes, run["seed"]
    )
    split = {"train": labels, "select": _targets(index, splits["select"].rows)}
    pairs = {name: loop.Split(splits[name], torch.from_numpy(y).to(device)) for name, y in split.items()}
    folder = CheckpointFolder(run_dir, settings)
    job = loop.Job(settings, model, regime, pairs["train"], pairs["select"], device, folder, teacher)
    return job, splits, index


def _reporter(epochs: int):
    bar = tqdm(total=epochs, unit="epoch", disable=None)  # disable=None: a bar on a terminal only

    def report(line: dict[str, Any]) -> None:
        bar.update()
        shown = {k: f"{line[k]:.3f}" for k in ("loss", "train_top1", "val_top1", "val_nll")}
        bar.set_postfix(shown)
        if bar.disable:
            text = " ".join(f"{k} {v}" for k, v in shown.items())
            log.info("epoch %d/%d %s %.0f images/s", line["epoch"], epochs, text, line["images_per_second"])

    return report


def finish(
    job: loop.Job,
    splits: dict[str, Images],
    index: pd.DataFrame,
    store_dir: Path,
    started: float,
) -> None:
    """Write all outputs of a trained run, ``run.json`` last.

    They are written beside the checkpoint, where Snakemake deletes nothing, and get their names when all are there:
    started again, it deletes declared outputs while this process may still be writing them.
    """
    out = job.folder.new_outputs()
    best = job.progress["best"]
    epochs = {
        "top1": best["top1"]["epoch"],
        "nll": best["nll"]["epoch"],
        "last": job.settings["train"]["epochs"],
    }
    last = {k: v.clone() for k, v in job.model.state_dict().items()}
    weights = {which: job.folder.best(which, epochs[which]) for which in ("top1", "nll")} | {"last": last}
    for which, tensors in weights.items():
        save_tensors(out / "weights" / f"{which}.safetensors", tensors)
    save_tensors(out / "regime.safetensors", job.regime.state_dict())
    outputs.write_all_predictions(out, job.model, weights, epochs, splits, index, job.settings)
    files.write_text(out / "history.jsonl", "".join(json.dumps(line) + "\n" for line in job.history))
    now = time.time()
    record = {
        "run": job.settings["run"],
        "settings": job.settings,
        "data": {"index": files.sha256_of(store_dir / "index.csv")},
        "epochs": epochs,
        "features_checkpoint": job.settings["train"]["features_checkpoint"],
        "provenance": outputs.provenance(job.device)
        | {
            "started": datetime.datetime.fromtimestamp(started, datetime.UTC).isoformat(timespec="seconds"),
            "finished": datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat(timespec="seconds"),
            "seconds": now - started,
            "training_seconds": sum(line["seconds"] for line in job.history),
            "peak_memory_mb": peak_memory_mb(job.device),
        },
    }
    files.write_json(out / "run.json", record)
    job.folder.publish(outputs.names(job.settings))


def train_run(
    settings: dict[str, Any], store_dir: Path, run_dir: Path, others: dict[str, Path], stage: bool = False
) -> None:
    """Train one run and write its outputs; resumes from its checkpoint."""
    started = time.time()
    set_determinism(settings["train"]["deterministic"])
    folder = CheckpointFolder(run_dir, settings)
    with folder.locked():
        if folder.restore_finished(outputs.names(settings)):
            return
        with take_device(settings["train"]["device"]) as device:
            job, splits, index = make_job(settings, store_dir, run_dir, others, device, stage)
            log.info(loop.describe(job))
            loop.fit(job, _reporter(settings["train"]["epochs"]))
            finish(job, splits, index, store_dir, started)


def check_settings(text: str) -> dict[str, Any]:
    """Parse the settings of one run (``settings`` of a finished run's run.json are such).

    Raises:
        UserError: if it is no JSON object or lacks a part.
    """
    try:
        settings = json.loads(text)
    except ValueError as error:
        raise UserError(f"--settings is not JSON: {error}") from error
    missing = set(SETTINGS) - set(settings if isinstance(settings, dict) else ())
    if missing:
        raise UserError(
            f"--settings lacks '{sorted(missing)[0]}'; it is an object with {', '.join(SETTINGS)}"
        )
    return settings


def _pairs(items: list[str]) -> dict[str, Path]:
    return {key: Path(path) for key, _, path in (item.partition("=") for item in items)}


def main(argv=None) -> None:
    """Train one run from a decoded store."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--settings", required=True, help="JSON: model, train, augment, data, regime, run")
    parser.add_argument(
        "--store", required=True, type=Path, help="folder with images.npy, index.csv, classes.csv"
    )
    parser.add_argument("--run-dir", required=True, type=Path, help="where the run's files go")
    parser.add_argument(
        "--other", action="append", default=[], metavar="KEY=FOLDER", help="another run this one builds on"
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0 = torch's choice)")
    parser.add_argument(
        "--stage-store",
        type=int,
        choices=(0, 1),
        nargs="?",
        const=1,
        default=0,
        help="1: copy the images to $SLURM_TMPDIR or $TMPDIR first, where they fit",
    )
    options = parser.parse_args(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    settings = check_settings(options.settings)
    train_run(settings, options.store, options.run_dir, _pairs(options.other), bool(options.stage_store))


if __name__ == "__main__":
    cli.run(main)
