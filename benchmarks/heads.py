"""How long heads on features take: 26 regimes on two seeds through Snakemake, all seeds of a study extrapolated from it."""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from benchmarks.measuring import Result, child
from benchmarks.pipeline import environment
from tests.checkout import copy_checkout

STUDY = {"seeds": 20, "cores": 2, "minutes": 15}
EPOCHS, FEATURES, CLASSES = 20, 1_024, 11
IMAGES = {"train": 100_000, "val": 10_000, "test": 5_000}
BATCHES = (256, 2048)
REGIMES = [
    "hard", "ls", "tfkd_reg", "ols", "ols_flat", "ols_shuffled", "ols_single", "lspp", "acls", "boot_hard",
    "boot_soft", "cpls", "dca", "disturb", "ecp", "flsd53", "focal", "mbls", "mdca", "pairwise_confusion",
    "sce", "tfkd_self", "kd", "lsplus", "ls_matched", "pt_lspp",
]  # fmt: skip


def write_features(folder: Path, images: int) -> None:
    """Made-up features: Gaussian clouds around one centre for each class."""
    draw = np.random.default_rng(0)
    counts = IMAGES | {"train": images}
    label = draw.integers(0, CLASSES, sum(counts.values()))
    centres = draw.normal(size=(CLASSES, FEATURES)).astype(np.float32)
    folder.mkdir(parents=True)
    values = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (len(label), FEATURES))
    for rows in np.array_split(np.arange(len(label)), 50):
        noise = draw.standard_normal((len(rows), FEATURES), np.float32)
        values[rows] = centres[label[rows]] * 0.1 + noise
    values.flush()
    split = np.repeat(list(counts), list(counts.values()))
    pd.DataFrame({"label": label, "split": split}).to_csv(folder / "x.csv", index=False)


def study(batch: int, seeds: int) -> dict[str, Any]:
    """A config of all regimes."""
    files = {"features": "x.npy", "list": "x.csv"}
    return {
        "name": f"heads{batch}",
        "datasets": {"x": {"root": "data", "format": "embeddings", "files": files}},
        "backbones": ["embeddings"],
        "runs": REGIMES,
        "regimes": {"kd": {"teacher": "embeddings/hard"}, "pt_lspp": {"matrix_of": "embeddings/lspp"}},
        "seeds": list(range(seeds)),
        "train": {"epochs": EPOCHS, "batch_size": batch, "lr": 0.1, "device": "cpu", "features": 0},
        "resources": {"gpu": 0, "warm_start": True, "train_threads": 1, "train_mem_mb": 2000},
    }


def heads(options) -> list[Result]:
    """Minutes of the study, from those of one seed for each core."""
    results, images = [], IMAGES["train"] // 10 if options.quick else IMAGES["train"]
    with tempfile.TemporaryDirectory() as folder:
        checkout = copy_checkout(Path(folder) / "calibench")
        write_features(checkout / "data", images)
        for batch in BATCHES:
            given = checkout / f"{batch}.yaml"
            given.write_text(yaml.safe_dump(study(batch, options.cores)))
            run = f"results/heads{batch}/x/embeddings/{{}}/seed{{}}/run.json"
            targets = [run.format(regime, seed) for regime in REGIMES for seed in range(options.cores)]
            command = [sys.executable, "-m", "snakemake", "--directory", str(checkout), "--quiet"]
            command += ["--snakefile", str(checkout / "Snakefile"), "--cores", str(options.cores)]
            command += [*targets, "--configfile", str(given)]
            for more in (["--until", "store"], []):
                cost, _ = child([*command, *more], env=environment(), log=str(Path(folder) / "log"))
            minutes = cost.wall / 60 * STUDY["seeds"] / STUDY["cores"]
            title = f"heads on {IMAGES['train']:,} × {FEATURES} features, {EPOCHS} epochs, batch {batch}: minutes for "
            title += f"{len(REGIMES)} regimes × {STUDY['seeds']} seeds on {STUDY['cores']} cores"
            each = f"{cost.cpu / len(targets):.1f} s of CPU time a head, with Snakemake"
            note = f"measured with a seed for each of {options.cores} cores; {each}"
            measured = f"{minutes:.1f} min"
            results.append(Result(title, measured, "", minutes, None, STUDY["minutes"], "less", note))
    return results
