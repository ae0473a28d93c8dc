"""A small experiment as the stages leave it, and its report, made once."""

import json
from pathlib import Path

import numpy as np
import pytest
from calibench.files import write_csv, write_json
from calibench.finished.read import read_keys
from calibench.planning import configuration, naming
from calibench.stages import report
from calibench.stages.analyse import Asked, metrics_of
from calibench.tables.long import METRICS, join
from matplotlib import pyplot as plt

from tests.finished.fake_runs import write_classes, write_run

HOSTILE = [
    "<script>alert(1)</script>",
    'a" onload="x',
    "<img src=http://evil.example/x.png>",
    "</table><h2>x</h2>",
]
NAMES = [*HOSTILE, "CT & co", *map(str, range(5, 10))]
DATASET = "RadImageNet.mini"


def completed(**changes):
    """A completed configuration of two regimes on one backbone, one run of which will be missing."""
    base = {
        "name": "small",
        "title": "A <b>small</b> experiment",
        "datasets": {DATASET: {"root": "nowhere", "sample": {"per_class": 70}}},
        "backbones": ["resnet50"],
        "runs": ["hard", "ols"],
        "seeds": [0, 1],
        "tables": {"published": "ols_radimagenet"},
    }
    return configuration.complete(base | changes)


def write_store(folder: Path, k: int = 10) -> Path:
    """classes.csv, index.csv, sample.json, store.json and audit.json of a long-tailed set."""
    folder.mkdir(parents=True)
    write_classes(folder / "classes.csv", NAMES[:k])
    before, after = [600 // (i + 1) for i in range(k)], [min(70, 600 // (i + 1)) for i in range(k)]
    half = [10] * k
    priors = {
        "before": {"train": before, "val": [20] * k, "test": half},
        "after": {"train": after, "select": half, "calibrate": half, "test": half},
    }
    short = [{"label": NAMES[9], "n": 60, "split": "train"}]
    write_json(folder / "sample.json", {"per_class": 70, "seed": 0, "below_cap": short, "priors": priors})
    lost = [{"filename": "<i>x.png", "why": "truncated & lost"}]
    store = {
        "n": 900,
        "size": 224,
        "colour": "grey",
        "unreadable": lost,
        "seconds": 1.5,
        "images_per_second": 600.0,
    }
    write_json(folder / "store.json", store)
    (folder / "index.csv").write_text("row,filename\n0,a.png\n")
    return folder


def write_png(path: Path) -> None:
    """A small but real PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.imsave(path, np.zeros((20, 40)))


def add_provenance(run: Path) -> None:
    """Complete run.json and history.jsonl with what a run measures of itself."""
    record = json.loads((run / "run.json").read_text())
    record["settings"] = {}
    record["provenance"] = {
        "python": "3.11", "torch": "2.15", "torchvision": "0.30", "numpy": "2.4", "commit": "abc+changes",
        "device": "cuda: <GPU>", "threads": 2, "host": "secret-host", "started": "2025-01-01T00:00:00+00:00",
        "finished": "2025-01-02T00:00:00+00:00", "seconds": 4000.0,
        "training_seconds": 3700.0, "peak_memory_mb": 2048.0,
    }  # fmt: skip
    (run / "run.json").write_text(json.dumps(record))
    lines = [json.loads(text) for text in (run / "history.jsonl").read_text().splitlines()]
    text = "".join(json.dumps(line | {"images_per_second": 123.0, "seconds": 2.0}) + "\n" for line in lines)
    (run / "history.jsonl").write_text(text)


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """(experiment folder, settings, store): three of four runs finished, figures of one kind drawn."""
    base = tmp_path_factory.mktemp("results")
    config, folder = completed(), base / "small"
    found = []
    for regime, seed in (("hard", 0), ("hard", 1), ("ols", 0)):
        run = write_run(folder, regime, seed=seed, n=120, dataset=DATASET)
        add_provenance(run)
        write_csv(metrics_of(Asked(run)).assign(**read_keys(run))[METRICS], run / "metrics.csv")
        found.append(run / "metrics.csv")
    (folder / "metrics.csv").write_text(join(found))
    write_png(folder / "figures" / f"reliability-{DATASET}-resnet50.png")
    store = write_store(base / "store" / naming.store_name(config, DATASET))
    return folder, {"config": config, "version": "9.9"}, store


@pytest.fixture(scope="session")
def made(small, tmp_path_factory):
    """(report.html, executed notebook as JSON, papers.html) of the whole stage, run once."""
    folder, settings, store = small
    out = tmp_path_factory.mktemp("out")
    report.main(
        ["--experiment-dir", str(folder), "--settings", json.dumps(settings), "--stores", str(store)]
        + ["--out-notebook", str(out / "r.ipynb"), "--out", str(out / "r.html")]
        + ["--out-papers", str(out / "p.html")]
    )
    assert sorted(p.name for p in out.iterdir()) == ["p.html", "r.html", "r.ipynb"]
    texts = [(out / name).read_text(encoding="utf-8") for name in ("r.html", "r.ipynb", "p.html")]
    return texts[0], json.loads(texts[1]), texts[2]
