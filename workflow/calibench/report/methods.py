"""What was run, on what, at what cost and with which software: facts for the sections behind the results."""

from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from calibench.files import sha256_of
from calibench.finished.read import read_history
from calibench.planning import naming
from calibench.planning.settings import PARTS as SETTINGS
from calibench.report import options, words
from calibench.report.experiment import Experiment

CITATION = Path(__file__).with_name("CITATION.cff")
# part of a run → listed split
PARTS = {"train": "train", "select": "val", "calibrate": "val", "test": "test"}
VERSIONS = ("python", "torch", "torchvision", "numpy")


def counts(x: Experiment, dataset: str) -> dict[str, int]:
    """``classes``, and images of each part of :data:`PARTS`; empty without a store."""
    after = x.store_json(dataset, "sample.json").get("priors", {}).get("after", {})
    return {"classes": len(after["train"])} | {part: sum(after[part]) for part in PARTS} if after else {}


def sizes(x: Experiment, dataset: str, sample: dict[str, Any]) -> dict[str, list[str]]:
    """{part: [listed, after the audit, used, smallest – median – largest class, empty classes]}."""
    before, after = sample["priors"]["before"], sample["priors"]["after"]
    classes, rows = x.classes(dataset), {}
    for part, split in PARTS.items():
        each = np.array(after[part])
        listed = words.EMPTY if classes is None else f"{classes[split].sum():,} ({split})"
        spread = f"{each.min():,} – {np.median(each):,.0f} – {each.max():,}"
        rows[part] = [listed, f"{sum(before[split]):,}", f"{each.sum():,}", spread, int((each == 0).sum())]
    return rows


def distance(priors: dict[str, list[int]]) -> float:
    """Total variation distance between the classes of train and test."""
    p, q = (np.array(priors[part]) / max(sum(priors[part]), 1) for part in ("train", "test"))
    return float(np.abs(p - q).sum() / 2)


def per_class(x: Experiment, dataset: str, sample: dict[str, Any]) -> list[list[str]]:
    """Class, listed images per split, used images per part."""
    classes = x.classes(dataset)
    if classes is None:
        return []
    before, after = sample["priors"]["before"], sample["priors"]["after"]
    columns = [*(before[split] for split in ("train", "val", "test")), *(after[part] for part in PARTS)]
    return [
        [name, *(f"{column[k]:,}" for column in columns)]
        for k, name in zip(classes["target"], classes["label"], strict=True)
    ]


def thumbnails(x: Experiment, dataset: str, audit: dict[str, Any]) -> list[tuple[dict[str, Any], Path]]:
    """Example pairs of like images of which a thumbnail lies beside the store."""
    found = []
    for example in audit.get("examples", []):
        name = Path(example.get("thumbnail", "")).name
        files = sorted(x.stores[dataset].glob(f"*/{name}")) if name else []
        found += [(example, files[0])] if files else []
    return found


def recipe(x: Experiment, main: list[str] | None = None) -> list[list[str]]:
    """Setting of training, its value for every backbone, where it comes from; all of them or those named."""
    rows = []
    for path in main or [f"{part}.{key}" for part in SETTINGS for key in x.config[part]]:
        values = options.of_recipe(x, path).values()
        rows.append([path, *map(options.show, values), options.origin(path, values)])
    return rows


def variants(x: Experiment) -> list[list[str]]:
    """Variant, what it overrides."""
    tokens = dict.fromkeys(token for run in x.run_names for token in run.split("+")[1:])
    return [[token, options.show(x.config["variants"].get(token, {}))] for token in tokens]


def regimes(x: Experiment) -> list[list[str]]:
    """Run, its source, setting, value, what it is and where the value comes from."""
    rows = []
    for run in x.run_names:
        info = x.regimes.get(naming.split_name(run)[0])
        if info is None:
            continue
        head, texts = [words.run_label(run), info.source], info.texts
        rows += [[*head, key, options.of_regime(x, run, key), texts.get(key, "")] for key in info.settings]
        rows += [] if info.settings else [[*head, "none", "", ""]]
    return rows


def cost(x: Experiment) -> list[list[str]]:
    """Place, run, networks, epochs, chosen epochs, training, with prediction, images/s, peak memory; means over seeds."""
    rows = []
    for (dataset, backbone, _), group in groupby(x.trained, attrgetter("dataset", "backbone", "name")):
        members = list(group)
        records = pd.DataFrame([run.record.get("provenance", {}) for run in members])
        records = records.reindex(columns=["training_seconds", "seconds", "peak_memory_mb"]).astype(float)
        histories = [read_history(run.folder) for run in members]
        epochs = " / ".join(dict.fromkeys(str(len(history)) for history in histories))
        chosen = [run.record.get("epochs", {}).get("top1", words.EMPTY) for run in members]
        best = ", ".join(map(str, chosen)) if len(chosen) < 6 else f"{min(chosen)} to {max(chosen)}"
        speed = pd.concat(histories).get("images_per_second", pd.Series(dtype=float)).median()
        cells = [len(members), epochs, best, *map(words.duration, records.mean().iloc[:2])]
        cells += [words.fixed(speed, 0), words.fixed(records["peak_memory_mb"].max() / 1000, 2)]
        rows.append([x.where(dataset, backbone), members[0].label, *cells])
    return rows


def total(x: Experiment) -> float:
    """Seconds of all finished runs."""
    return sum(run.record.get("provenance", {}).get("seconds", 0) for run in x.finished)


def software(x: Experiment) -> dict[str, list[str]]:
    """What the finished runs say of versions, commit, device and dates; each value once. No host names."""
    records = [run.record.get("provenance", {}) for run in x.finished]
    found = {key: [r.get(key) for r in records] for key in (*VERSIONS, "commit", "device", "threads")}
    found["precision"] = [run.record.get("precision", {}).get("training") for run in x.finished]
    dates = sorted(r[key] for r in records for key in ("started", "finished") if key in r)
    found["dates"] = [dates[0], dates[-1]] if dates else []
    return {
        key: [str(v) for v in dict.fromkeys(values) if v not in (None, "")] for key, values in found.items()
    }


def checksums(x: Experiment) -> list[list[str]]:
    """Data set, file, SHA-256 of what the images were listed and decoded into."""
    files = [(d, folder / name) for d, folder in x.stores.items() for name in ("classes.csv", "index.csv")]
    return [[d, f"{path.parent.name}/{path.name}", sha256_of(path)] for d, path in files if path.is_file()]


def as_yaml(x: Experiment) -> str:
    """The completed configuration."""
    return yaml.safe_dump(x.config, sort_keys=False, allow_unicode=True, width=100)


def citation() -> tuple[dict[str, Any], str]:
    """CITATION.cff, read and as text."""
    text = CITATION.read_text(encoding="utf-8")
    return yaml.safe_load(text), text
