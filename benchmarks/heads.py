"""How long heads on features take: one head measured, all regimes and seeds of a study extrapolated from it."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from calibench.planning.configuration import complete
from calibench.planning.settings import settings_of

from benchmarks.measuring import Result

STUDY = {"regimes": 26, "seeds": 20, "epochs": 20, "cores": 2, "minutes": 15}
IMAGES, TESTED, FEATURES, CLASSES = 100_000, 5_000, 1_024, 11
BATCHES = (256, 2048)
MEASURED = ("hard", "ols", "lspp", "acls")  # cheap and costly ones


def write_store(folder: Path, images: int) -> None:
    """A store of made-up features: Gaussian clouds around one centre for each class."""
    draw = np.random.default_rng(0)
    parts = {"train": images, "select": TESTED, "calibrate": TESTED, "test": TESTED}
    part = np.repeat(list(parts), list(parts.values()))
    target = draw.integers(0, CLASSES, len(part))
    centres = draw.normal(size=(CLASSES, FEATURES)).astype(np.float32)
    with open(folder / "images.npy", "wb") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(part), FEATURES)}
        np.lib.format.write_array_header_1_0(stream, header)
        for rows in np.array_split(target, 50):
            noise = draw.standard_normal((len(rows), FEATURES), np.float32)
            stream.write((centres[rows] * 0.1 + noise).data)
    index = pd.DataFrame({"row": np.arange(len(part)), "target": target, "part": part})
    index["split"] = index["part"].replace({"select": "val", "calibrate": "val"})
    index = index.assign(filename=index["row"].map("{:08d}".format), label="", group="", stratum="")
    index.to_csv(folder / "index.csv", index=False)
    classes = pd.DataFrame({"target": range(CLASSES), "label": [f"class {k}" for k in range(CLASSES)]})
    classes.to_csv(folder / "classes.csv", index=False)


def settings(regime: str, epochs: int, batch: int) -> dict[str, Any]:
    """Settings of a head."""
    data = {"root": ".", "format": "embeddings", "files": {"features": "x.npz"}}
    train = {"epochs": epochs, "batch_size": batch, "device": "cpu", "precision": "float32", "features": 0}
    config = {
        "name": "x",
        "datasets": {"x": data},
        "backbones": ["embeddings"],
        "runs": [regime],
        "train": train,
    }
    return settings_of(complete(config), regime, "x", "embeddings", 0)


def seconds(store: Path, run: Path, given: dict[str, Any]) -> tuple[float, float]:
    """Clock and core seconds of one training, with start and predictions."""
    command = [sys.executable, "-m", "calibench", "train", "--threads", "1", "--settings", json.dumps(given)]
    command += ["--images", str(store / "images.npy"), "--record", str(run / "run.json")]
    begun, before = time.monotonic(), os.times()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    after = os.times()
    core = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - begun, core


def heads(options) -> list[Result]:
    """Minutes of the whole study on its cores, from the core seconds of single heads of few epochs."""
    results, images = [], IMAGES // 10 if options.quick else IMAGES
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        write_store(store, images)
        for batch in BATCHES:
            each = {}
            for regime in MEASURED:
                few, more = (
                    seconds(store, store / f"{regime}-{batch}-{epochs}", settings(regime, epochs, batch))[1]
                    for epochs in (1, 3)
                )
                epoch = (more - few) / 2 * IMAGES / images
                each[regime] = few - epoch * images / IMAGES + STUDY["epochs"] * epoch
            mean = sum(each.values()) / len(each)
            minutes = mean * STUDY["regimes"] * STUDY["seeds"] / STUDY["cores"] / 60
            study = f"{STUDY['regimes']} regimes × {STUDY['seeds']} seeds, {STUDY['epochs']} epochs"
            name = f"heads on {IMAGES:,} × {FEATURES} features, batch {batch}, {study}: minutes"
            told = ", ".join(f"{regime} {cost:.1f}" for regime, cost in each.items())
            note = f"extrapolated to {STUDY['cores']} cores; core seconds of one head: {told}"
            results.append(
                Result(name, f"{minutes:.0f} min", "", minutes, None, STUDY["minutes"], "less", note)
            )
    return results
