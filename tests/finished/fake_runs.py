"""Run folders as training leaves them, with made-up logits: array code can be tested without training."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from calibench.regimes import build
from safetensors.numpy import save_file


def make_logits(rng, targets, k, skill, sharpness):
    """Logits (N, K) whose true class is raised by `skill` and whose scale is `sharpness`."""
    logits = rng.normal(size=(len(targets), k))
    logits[np.arange(len(targets)), targets] += skill
    return (sharpness * logits).astype(np.float32)


def write_run(
    folder, regime, variant="", seed=0, k=10, n=400, dataset="digits", backbone="resnet50", spread=1.0
):
    """Write one run folder and return its path."""
    folder = Path(folder) / dataset / backbone / f"{regime}{variant}" / f"seed{seed}"
    data, rng = np.random.default_rng(5), np.random.default_rng([seed, *f"{regime}{variant}".encode()])
    frames = {}
    for split, size in {"val": n, "test": n}.items():
        targets = data.integers(0, k, size)
        part = np.where(np.arange(size) % 2, "calibrate", "select") if split == "val" else "test"
        group = [f"g{i // 4}" for i in range(size)]
        stratum = np.where(targets % 2, "CT/abd", "US/liver")
        rows = np.arange(size) + {"val": 1000, "test": 9000}[split]
        frames[split] = pd.DataFrame(
            {"row": rows, "target": targets, "part": part, "group": group, "stratum": stratum}
        )
    for split, frame in frames.items():
        (folder / "predictions").mkdir(parents=True, exist_ok=True)
        frame.to_csv(folder / "predictions" / f"{split}.csv", index=False)
        for checkpoint in ("top1", "nll", "last"):
            (folder / "predictions" / checkpoint).mkdir(exist_ok=True)
            logits = make_logits(rng, frame["target"].to_numpy(), k, 2.5, {"hard": 2.0}.get(regime, 1.0))
            np.save(folder / "predictions" / checkpoint / f"{split}.npy", logits)
    (folder / "features").mkdir(exist_ok=True)
    for split in ("train", "val", "test"):
        targets = np.sort(data.integers(0, k, n))
        centres = np.random.default_rng(1).normal(size=(k, 32)) * 3
        features = centres[targets] + rng.normal(size=(n, 32)) * spread * 2
        np.save(folder / "features" / f"{split}.npy", features.astype(np.float16))
        pd.DataFrame({"row": np.arange(n), "target": targets}).to_csv(
            folder / "features" / f"{split}.csv", index=False
        )
    entry = {"dataset": dataset, "backbone": backbone, "regime": regime, "variant": variant, "seed": seed}
    settings = {
        "regime": {"hard": {}, "ols": {"alpha": 0.5, "weights": "mix"}, "ls": {"eps": 0.1}}.get(regime, {}),
        "data": {"label_noise": 0.2 if "noise" in variant else 0, "noise": "symmetric"},
    }
    record = {"run": entry, "settings": settings, "epochs": {"top1": 4, "nll": 3, "last": 6}}
    (folder / "run.json").write_text(json.dumps(record))
    with open(folder / "history.jsonl", "w") as stream:
        for epoch in range(1, 7):
            line = {
                "epoch": epoch,
                "loss": 2.3 * 0.7**epoch + 0.02 * rng.normal(),
                "train_top1": 1 - 0.7 * 0.65**epoch,
                "val_top1": 1 - 0.7 * 0.7**epoch + 0.01 * rng.normal(),
                "val_top5": 0.99,
                "val_nll": 2.0 * 0.75**epoch + 0.02 * rng.normal(),
                "lr": 0.01,
            }
            if regime == "ols":
                line |= {"matrix_entropy": 2.3 * 0.8**epoch, "fallback_classes": 0}
            if "noise" in variant:
                line |= {"test_top1": 0.3 + 0.05 * epoch, "clean_error": 0.5 / epoch, "flipped_error": 0.6}
                line |= {"flipped_fitted": 0.1 * epoch, "flipped": 80}
            stream.write(json.dumps(line) + "\n")
    matrix = np.exp(rng.normal(size=(k, k)) * 1.5 - 6)
    matrix[np.arange(k), np.arange(k)] = 0.9
    matrix /= matrix.sum(axis=1, keepdims=True)
    state = {name: value.numpy() for name, value in build(regime, k).state_dict().items()}
    if regime == "ols":
        state["matrix"] = matrix.astype(np.float32)
        state["last_counts"] = np.arange(k, dtype=np.int64)[
            ::-1
        ].copy()  # the last class had no right prediction
    save_file(state, folder / "regime.safetensors")
    return folder


def write_classes(path, names):
    """Write classes.csv."""
    rows = [{"target": i, "label": name, "train": 5, "val": 5, "test": 5} for i, name in enumerate(names)]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def add_sets(folder, sets):
    """Predictions on evaluation sets besides test, each less certain than the one before; only of top1."""
    index = pd.read_csv(folder / "predictions/test.csv", keep_default_na=False)
    logits = np.load(folder / "predictions/top1/test.npy")
    for i, name in enumerate(sets):
        noise = np.random.default_rng([i, *folder.parent.name.encode()]).normal(size=logits.shape)
        index.assign(part=name).to_csv(folder / f"predictions/{name}.csv", index=False)
        np.save(folder / f"predictions/top1/{name}.npy", (logits + (i + 1) * noise).astype("f4"))
