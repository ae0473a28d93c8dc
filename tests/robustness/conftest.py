"""A small data set that the real stages read, in which single files are made bad."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from calibench.files import read_json
from calibench.stages import list as list_stage
from calibench.stages import sample as sample_stage
from calibench.stages import store as store_stage

from tests.conftest import clean_environment
from tests.training.conftest import WORKFLOW

SIZE = 8
SPLITS = ("train", "val", "test")
PER_SPLIT = 6


class DataSet:
    """Images of two classes and their lists; ``odd.*`` is one training image more, for a test to make."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "root"
        self.root.mkdir()
        self.rows = {split: [] for split in SPLITS}
        draw = np.random.default_rng(0)
        for split in SPLITS:
            for i in range(PER_SPLIT):
                name = f"{split}{i}.png"
                cv2.imwrite(str(self.root / name), draw.integers(0, 256, (SIZE, SIZE), dtype=np.uint8))
                self.rows[split].append((name, "ab"[i % 2]))
        self.settings = {
            "name": "toy", "format": "list", "root": str(self.root), "files": {s: f"{s}.csv" for s in SPLITS},
            "store": {"size": SIZE}, "unreadable_share": 1,
        }  # fmt: skip

    def add(self, name: str, data: bytes | None = None, label: str = "a") -> Path:
        """One more training image."""
        if data is not None:
            (self.root / name).write_bytes(data)
        self.rows["train"].append((name, label))
        return self.root / name

    def write_lists(self) -> None:
        """The lists as they stand."""
        for split in SPLITS:
            pd.DataFrame(self.rows[split], columns=["filename", "label"]).to_csv(
                self.root / f"{split}.csv", index=False
            )

    def list_images(self) -> pd.DataFrame:
        """Stage list; the classes."""
        out = ["--out-list", str(self.folder / "list.csv"), "--out-classes", str(self.folder / "classes.csv")]
        list_stage.main(["--settings", json.dumps(self.settings), *out])
        return pd.read_csv(self.folder / "classes.csv", keep_default_na=False)

    def arguments(self, **settings) -> list[str]:
        """Arguments of the stage store."""
        given = self.settings | {"store": self.settings["store"] | settings}
        files = {
            "sample": "sample.csv",
            "classes": "classes.csv",
            "out": "images.npy",
            "out-index": "index.csv",
        }
        files["out-report"] = "store.json"
        paths = [word for key, name in files.items() for word in (f"--{key}", str(self.folder / name))]
        return ["--settings", json.dumps(given), *paths, "--threads", "1"]

    def sample(self) -> None:
        """Stages list and sample."""
        self.list_images()
        out = ["--out", str(self.folder / "sample.csv"), "--out-report", str(self.folder / "sample.json")]
        sample_stage.main(
            ["--settings", json.dumps(self.settings), "--list", str(self.folder / "list.csv"), *out]
        )

    def build(self, **settings) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        """All stages to the store: stored images and reasons of unreadable ones, by filename."""
        self.sample()
        store_stage.main(self.arguments(**settings))
        images = np.load(self.folder / "images.npy")
        names = pd.read_csv(self.folder / "index.csv")["filename"]
        unreadable = read_json(self.folder / "store.json")["unreadable"]
        return dict(zip(names, images, strict=True)), {u["filename"]: u["why"] for u in unreadable}

    def left_nothing(self) -> bool:
        """No file of the store under a final name, none half-written."""
        return not any(
            (self.folder / n).exists() for n in ("images.npy", "index.csv", "store.json")
        ) and not list(self.folder.glob(".*"))


@pytest.fixture
def dataset(tmp_path) -> DataSet:
    return DataSet(tmp_path)


def run_stage(name: str, *arguments: str, **options) -> subprocess.CompletedProcess:
    """A stage as a rule starts it."""
    return subprocess.run(
        [sys.executable, "-m", "calibench", name, *arguments],
        env=clean_environment() | {"PYTHONPATH": str(WORKFLOW), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, **options,
    )  # fmt: skip


def one_sentence(done: subprocess.CompletedProcess) -> str:
    """The user error of a stage that stopped with one, and with nothing else."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and len(errors) == 1 and "Traceback" not in done.stderr, done.stderr[-3000:]
    return errors[0]


@pytest.fixture
def small_disk(tmp_path):
    """``small_disk("300k")``: a file system of that size; ``small_disk("1m", "ro")`` afterwards makes it read-only."""
    folder = tmp_path / "disk"
    mounted = []

    def mount(size: str, more: str = "") -> Path:
        folder.mkdir(exist_ok=True)
        options = ",".join(filter(None, ["remount" if mounted else "", f"size={size}", more]))
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting a small file system needs root")
        mounted.append(folder)
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)
