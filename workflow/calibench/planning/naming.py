"""Names: of runs (``regime[+variant]*``) and of stores."""

import hashlib
import re
from typing import Any

from calibench.files import canonical

DATA_KEYS = (
    *("root", "format", "files", "labels", "split", "sample"),
    *("calibrate", "unreadable_share", "audit", "store"),
)


def expand_braces(text: str) -> list[str]:
    """``{hard,ls}+cutmix`` → ``[hard+cutmix, ls+cutmix]``; several braces give all combinations."""
    match = re.search(r"\{([^{}]*)\}", text)
    if not match:
        return [text]
    head, tail = text[: match.start()], text[match.end() :]
    return [run for choice in match[1].split(",") for run in expand_braces(head + choice.strip() + tail)]


def named_runs(config: dict[str, Any]) -> list[str]:
    """The runs in the config, braces expanded, in order, each once; without the runs of a sweep."""
    return list(dict.fromkeys(run for item in config["runs"] for run in expand_braces(item)))


def split_name(run: str) -> tuple[str, str]:
    """``ols+alpha03+cutmix`` → ``("ols", "+alpha03+cutmix")``."""
    regime, plus, variant = run.partition("+")
    return regime, plus + variant


def trained_on(config: dict[str, Any]) -> list[str]:
    """Data sets that runs are trained on; the others are only for predictions."""
    return [name for name, settings in config["datasets"].items() if settings["train_on"]]


def data_settings(config: dict[str, Any], dataset: str) -> dict[str, Any]:
    """The settings that the stages list, audit, sample and store of a data set read."""
    settings = {"name": dataset, **{key: config["datasets"][dataset][key] for key in DATA_KEYS}}
    if not config["datasets"][dataset]["train_on"]:
        settings["train_on"] = False
    # older versions had no such key; their stores and runs stay valid
    if not settings["split"]["test_strata"]:
        settings["split"] = {k: v for k, v in settings["split"].items() if k != "test_strata"}
    settings["store"] = {k: v for k, v in settings["store"].items() if k != "tmpdir"}
    return settings


def store_name(config: dict[str, Any], dataset: str) -> str:
    """Folder name of the store of a data set: its name and a hash of the settings behind its content."""
    settings = data_settings(config, dataset)
    return f"{dataset}-{hashlib.sha256(canonical(settings).encode()).hexdigest()[:10]}"
