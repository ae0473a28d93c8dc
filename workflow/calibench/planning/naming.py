"""Names: of runs (``regime[+variant]*``), of the variants of a sweep, and of stores."""

import hashlib
import re
from typing import Any

from calibench.files import canonical

DATA_KEYS = ("root", "format", "files", "labels", "split", "sample", "calibrate", "audit", "store")


def expand_braces(text: str) -> list[str]:
    """``{hard,ls}+cutmix`` → ``[hard+cutmix, ls+cutmix]``; several braces multiply."""
    match = re.search(r"\{([^{}]*)\}", text)
    if not match:
        return [text]
    head, tail = text[: match.start()], text[match.end() :]
    return [run for choice in match[1].split(",") for run in expand_braces(head + choice.strip() + tail)]


def run_names(config: dict[str, Any]) -> list[str]:
    """The runs the config names, braces expanded, in order, each once, and those of its sweep behind each."""
    return list(sweep_runs(config))


def sweep_runs(config: dict[str, Any]) -> dict[str, tuple[str, float]]:
    """All runs, each with the run it varies and its factor on the learning rate (1 = the run itself)."""
    named = list(dict.fromkeys(run for item in config["runs"] for run in expand_braces(item)))
    factors = [f for f in config.get("sweep", {}).get("lr", []) if f != 1]
    found: dict[str, tuple[str, float]] = {}
    for run in named:
        found[run] = (run, 1)
        found |= {f"{run}+{lr_variant(f)}": (run, f) for f in factors}
    return found


def split_name(run: str) -> tuple[str, str]:
    """``ols+alpha03+cutmix`` → ``("ols", "+alpha03+cutmix")``."""
    regime, plus, variant = run.partition("+")
    return regime, plus + variant


def lr_variant(factor: float) -> str:
    """Name of the variant that a sweep trains at this factor on the learning rate."""
    return f"lr{factor:.4f}".rstrip("0").rstrip(".")


def derived_runs(config: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Seed ensembles (``ols@ensemble``, ``ols@temperature@ensemble``) → their run and the calibrator of its members."""
    return {
        f"{run}{'' if calibrator == 'none' else f'@{calibrator}'}@ensemble": (run, calibrator)
        for run in run_names(config)
        for calibrator in config["ensembles"]
    }


def trained_on(config: dict[str, Any]) -> list[str]:
    """Data sets that runs are trained on; the others are there to be asked about."""
    return [name for name, settings in config["datasets"].items() if settings["train_on"]]


def data_settings(config: dict[str, Any], dataset: str) -> dict[str, Any]:
    """What list, audit, sample and store of a data set read; where training reads the store from is none of it."""
    settings = {"name": dataset, **{key: config["datasets"][dataset][key] for key in DATA_KEYS}}
    if not config["datasets"][dataset]["train_on"]:
        settings["train_on"] = False
    settings["store"] = {k: v for k, v in settings["store"].items() if k != "tmpdir"}
    return settings


def store_name(config: dict[str, Any], dataset: str) -> str:
    """Folder name of a data set's store: its name and a hash of all that decides its content."""
    settings = data_settings(config, dataset)
    return f"{dataset}-{hashlib.sha256(canonical(settings).encode()).hexdigest()[:10]}"
