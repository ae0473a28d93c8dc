"""What the benchmarks work on: real photographs cut into image files, and a store made of them."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from calibench.files import canonical
from calibench.planning.configuration import complete
from calibench.planning.naming import data_settings
from calibench.stages import list as list_stage
from calibench.stages import sample as sample_stage
from calibench.stages import store as store_stage
from sklearn.datasets import load_sample_images

CLASSES = 8
FILE_SIZE = 256  # pixels per side of a file; RadImageNet's images are of this order


def write_images(root: Path, count: int, seed: int = 0) -> None:
    """Write ``count`` colour PNGs: random cuts of scikit-learn's two photographs, in class folders."""
    draw = np.random.default_rng(seed)
    photographs = load_sample_images().images
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        top, left = (draw.integers(0, n - FILE_SIZE) for n in photograph.shape[:2])
        path = root / f"class{number % CLASSES}" / f"{number:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), photograph[top : top + FILE_SIZE, left : left + FILE_SIZE])


def experiment(root: Path, size: int, **changes: Any) -> dict[str, Any]:
    """A completed configuration on the images below ``root``, stored at ``size`` pixels."""
    base = {
        "name": "bench",
        "datasets": {
            "bench": {
                "root": str(root),
                "format": "imagefolder",
                "split": {"val": 0.05, "test": 0.05},
                "store": {"size": size, "colour": "grey"},
            }
        },
        "backbones": ["resnet50"],
        "runs": ["hard"],
    }
    return complete(base | changes)


def make_store(config: dict[str, Any], folder: Path) -> Path:
    """Run the stages list, sample and store on the experiment's data set."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = canonical(data_settings(config, "bench"))
    paths = {
        n: str(folder / n) for n in ("list.csv", "classes.csv", "sample.csv", "sample.json", "index.csv")
    }
    common = ["--settings", settings]
    list_stage.main([*common, "--out-list", paths["list.csv"], "--out-classes", paths["classes.csv"]])
    sample_stage.main(
        [
            *common,
            "--list",
            paths["list.csv"],
            "--out",
            paths["sample.csv"],
            "--out-report",
            paths["sample.json"],
        ]
    )
    store_stage.main(
        [*common, "--sample", paths["sample.csv"], "--classes", paths["classes.csv"]]
        + ["--out", str(folder / "images.npy"), "--out-index", paths["index.csv"]]
        + ["--out-report", str(folder / "store.json")]
    )
    return folder
