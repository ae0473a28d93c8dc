"""A small store of real structure and settings that train in seconds."""

import io
import json
import logging
import multiprocessing
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from calibench.finished import names
from calibench.planning.configuration import complete, merge
from calibench.planning.settings import settings_of
from calibench.stages import train as train_stage

from tests.conftest import clean_environment

WORKFLOW = Path(__file__).parents[2] / "workflow"
CLASSES, SIZE = 3, 16


def write_store(folder: Path, counts: dict[str, int], seed: int = 0) -> Path:
    """Images whose brightest third tells the class, under noise."""
    draw = np.random.default_rng(seed)
    rows = []
    for part, count in counts.items():
        split = "val" if part in ("select", "calibrate") else part
        rows += [{"split": split, "part": part, "target": i % CLASSES} for i in range(count)]
    index = pd.DataFrame(rows)
    index.insert(0, "row", range(len(index)))
    images = draw.integers(0, 120, (len(index), SIZE, SIZE), dtype=np.uint8)
    for image, target in zip(images, index["target"], strict=True):
        image[:, target * 5 : target * 5 + 5] += 90
    index["filename"] = [f"{i}.png" for i in index["row"]]
    index["label"] = [f"class-{t}" for t in index["target"]]
    index["group"] = index["stratum"] = ""
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", images)
    index.to_csv(folder / "index.csv", index=False)
    classes = pd.DataFrame({"target": range(CLASSES), "label": [f"class-{t}" for t in range(CLASSES)]})
    classes.to_csv(folder / "classes.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    return write_store(
        tmp_path_factory.mktemp("data") / "store", {"train": 56, "select": 12, "calibrate": 9, "test": 15}
    )


def make_settings(
    run: str = "hard", backbone: str = "resnet20", seed: int = 0, **parts: Any
) -> dict[str, Any]:
    """Settings of one run as the workflow would make them."""
    base = {
        "name": "test",
        "datasets": {"tiny": {"root": "."}},
        "backbones": [backbone],
        "runs": [run],
        "model": {"input": "small"},
        "train": {
            "epochs": 3,
            "batch_size": 10,
            "lr": 0.1,
            "device": "cpu",
            "precision": "float32",
            "features": 7,
        },
        "variants": {"noisy": {"data": {"label_noise": 0.5}}},
    }
    return settings_of(complete(merge(base, parts)), run, "tiny", backbone, seed)


def train_arguments(settings: dict[str, Any], store: Path, run_dir: Path, *more: str) -> list[str]:
    """Options of the stage train."""
    files = ["--images", str(store / "images.npy"), "--record", str(run_dir / names.RECORD)]
    return ["--settings", json.dumps(settings), *files, "--threads", "1", *more]


def start(settings: dict[str, Any], store: Path, run_dir: Path, *more: str) -> subprocess.Popen:
    """Start the stage as a user or rule would."""
    arguments = train_arguments(settings, store, run_dir, *more)
    command = [sys.executable, "-m", "calibench", "train", *arguments]
    environment = clean_environment() | {"PYTHONPATH": str(WORKFLOW)}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def train(settings: dict[str, Any], store: Path, run_dir: Path, *more: str) -> str:
    """Run the stage to its end, in this process (a new one spends seconds on imports); its log."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("calibench")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        train_stage.main(train_arguments(settings, store, run_dir, *more))
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return stream.getvalue()


def forked(settings: dict[str, Any], store: Path, folder: Path):
    """The stage in a fork of this process, which has its imports: most of its life can be hit by a kill."""

    def work():
        sys.stderr = open(folder / "stderr", "w")  # noqa: SIM115 - the child's own
        train(settings, store, folder)

    folder.mkdir(exist_ok=True)
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    return process


def contents(run_dir: Path) -> dict[str, bytes]:
    """All result files that must be equal between equal runs."""
    files = {str(p.relative_to(run_dir)): p for p in sorted(run_dir.rglob("*")) if p.is_file()}
    kinds = (".safetensors", ".npy", ".csv")
    return {
        name: p.read_bytes() for name, p in files.items() if p.suffix in kinds and "checkpoint" not in name
    }
