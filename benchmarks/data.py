"""How fast lists are read and images decoded, against the bare library calls."""

import os
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from calibench.data import storing
from calibench.data.csvfile import read_frame
from calibench.data.listing import LIST_COLUMNS
from calibench.files import canonical
from calibench.planning.naming import data_settings

from benchmarks import material
from benchmarks.measuring import Result, child, interleaved, median, median_ratio

ROWS = 1_354_886  # images of RadImageNet
CLASSES = 165


def decoding(options) -> list[Result]:
    """The stage store on one thread against a bare loop of cv2.imread and cv2.resize."""
    cv2.setNumThreads(1)
    count, rounds = (200, 3) if options.quick else (1000, 7)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "files"
        material.write_images(root, count)
        config = material.experiment(root, 224)
        made = material.make_store(config, Path(folder) / "store")
        settings = data_settings(config, "bench")
        sample = read_frame(made / "sample.csv", [*LIST_COLUMNS, "part"])
        classes = read_frame(made / "classes.csv", ["target", "label"])
        paths = [str(root / name) for name in sample["filename"]]

        def ours() -> None:
            storing.build(settings, sample, classes, made / "again.npy", threads=1)

        def bare() -> None:
            for path in paths:
                grey = cv2.cvtColor(cv2.imread(path, cv2.IMREAD_UNCHANGED), cv2.COLOR_BGR2GRAY)
                cv2.resize(grey, (224, 224), interpolation=cv2.INTER_AREA)

        found = interleaved({"ours": ours, "bare": bare}, rounds)
    speeds = [f"{count / median(found[name]):.0f} img/s" for name in ("ours", "bare")]
    ratios = [median_ratio(found["bare"], found["ours"], kind) for kind in ("wall", "cpu")]
    title = "store vs raw imread + resize (256 px colour PNG to 224 px grey, one core)"
    return [Result(title, *speeds, *ratios, 0.8)]


def write_lists(root: Path, rows: int) -> None:
    """RadImageNet's three lists with as many rows and classes as the real ones, and one image of each."""
    draw = np.random.default_rng(0)
    shares = {"train": 0.75, "val": 0.1, "test": 0.15}
    for split, share in shares.items():
        labels = draw.integers(0, CLASSES, int(rows * share))
        labels[:CLASSES] = np.arange(CLASSES)
        lines = [
            f"radiology_ai/CT/abd/class_{k:03d}/{split}{i:07d}.png,class_{k:03d}\n"
            for i, k in enumerate(labels)
        ]
        (root / f"RadiologyAI_{split}.csv").write_text("filename,label\n" + "".join(lines))
        first = root / lines[0].split(",")[0]
        first.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(first), np.zeros((8, 8), np.uint8))


def listing(options) -> list[Result]:
    """The stage list on lists as long as RadImageNet's, as a process of its own."""
    rows = ROWS // 10 if options.quick else ROWS
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_lists(root, rows)
        settings = canonical({"name": "bench", "format": "radimagenet", "root": str(root)})
        command = [sys.executable, "-m", "calibench", "list", "--settings", settings]
        command += ["--out-list", str(root / "list.csv"), "--out-classes", str(root / "classes.csv")]
        cost, memory = child(command, env=os.environ | {"PYTHONPATH": str(options.workflow)})
    title = f"listing {rows:,} rows"
    return [
        Result(f"{title}: seconds", f"{cost.wall:.1f} s", "", cost.wall, cost.cpu, 10, "less"),
        Result(f"{title}: memory in GB", f"{memory:.0f} MB", "", memory / 1000, None, 1, "less"),
    ]
