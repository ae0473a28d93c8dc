"""Protect finished runs and their data from an edited configuration or a newer version of the code."""

import functools
from pathlib import Path
from typing import Any

from calibench.errors import UserError
from calibench.files import read_json, sha256_of
from calibench.finished import names
from calibench.planning.schema import fill_defaults, load_schema

STORE_RECORDS = {"list": "inputs.json", "audit": "audit.json", "sample": "sample.json", "store": "store.json"}


def changed_list(store: Path) -> str | None:
    """The first list file that has changed since the store was made; None if there is none."""
    record = store / "inputs.json"
    before = read_json(record)["inputs"] if record.exists() else {}
    return next(
        (path for path, sha in before.items() if Path(path).is_file() and sha256_of(path) != sha), None
    )


def kept_code(store: Path, audited: bool) -> dict[str, str]:
    """Fingerprints of the code that made a complete store, by stage; empty if it is incomplete or its list changed.

    ``store`` is its folder, ``audited`` whether its data set is audited.
    """
    stages = {stage: file for stage, file in STORE_RECORDS.items() if audited or stage != "audit"}
    others = ["images.npy", "index.csv", "classes.csv", "list.csv", "sample.csv"]
    if not all((store / file).exists() for file in [*stages.values(), *others]) or changed_list(store):
        return {}
    return {stage: read_json(store / file).get("code", "") for stage, file in stages.items()}


def check_list_unchanged(config: dict[str, Any], dataset: str, store: Path, finished: int) -> None:
    """Raise UserError if a list of a data set has changed since ``finished`` runs were trained on its ``store``."""
    if finished and (path := changed_list(store)):
        raise UserError(
            f"config: datasets.{dataset}: '{path}' has changed since {finished} finished runs were trained on it: "
            "restore it, or give the experiment another `name` to train on the new list, or delete those runs "
            "(also with `protect: false`)"
        )


@functools.cache
def _digest(path: Path, mtime_ns: int) -> str:
    """SHA-256 of a file that is compared with many runs; it is read again only after it was written."""
    return sha256_of(path)


def check_same_data(record: Path, index: Path) -> None:
    """Raise UserError if a finished run was trained on other images or labels than ``index.csv`` of its store."""
    found = read_json(record).get("data", {}).get("index")
    if found and index.exists() and found != _digest(index, index.stat().st_mtime_ns):
        raise UserError(
            f"{record.parent} was trained on other images or labels than {index} has now: give the experiment another "
            "`name`, or delete that folder, or set `protect: false` to train it again"
        )


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(set(old) | set(new))
        return [d for k in keys for d in _differences(old.get(k), new.get(k), f"{path}{k}: ")]
    return [] if old == new else [f"{path}{old} → {new}"]


def _completed(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a run from an older version, with defaults for keys that did not exist then."""
    schema = load_schema()
    parts = {
        part: fill_defaults(settings[part], schema["$defs"][part], schema)
        for part in ("model", "train", "augment", "data")
        if part in settings
    }
    parts.get("train", {}).pop("lr_factor", None)  # a run has only its final learning rate
    return settings | parts


def with_recorded_code(record: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """The wanted settings, or those of a finished run if only the code and keys with new defaults differ.

    A run that kept the refined checkpoint has all that is wanted without it.
    """
    if not record.exists():
        return wanted
    found = read_json(record)["settings"]
    completed = {**_completed(found), "code": ""}
    if names.REFINED not in wanted["train"]:
        completed["train"].pop(names.REFINED, None)
    return found if completed == {**wanted, "code": ""} else wanted


def check_unchanged(record: Path, wanted: dict[str, Any]) -> None:
    """Raise UserError if the settings of a finished run differ from the ``wanted`` ones."""
    found = read_json(record)["settings"]
    differences = [] if found == wanted else _differences(_completed(found), wanted)
    if differences:
        raise UserError(
            f"{record.parent} is finished with other settings ({'; '.join(differences[:3])}): give the experiment another "
            "`name`, or delete that folder, or set `protect: false` to train it again"
        )


def check_finished_runs(plan: Any) -> int:
    """Raise UserError if an edited config or changed data would delete a finished run of the plan.

    Returns:
        How many finished runs were trained by another version of the code and are kept.
    """
    older, trained_on = 0, dict.fromkeys(plan.store_of, 0)
    for dataset, backbone, run, seed in plan.all_runs:
        record = Path(plan.run_dir(dataset, backbone, run, seed), names.RECORD)
        if record.exists():
            trained_on[dataset] += 1
            check_same_data(record, Path(plan.store_dir(dataset), "index.csv"))
            wanted = plan.run_settings(dataset, backbone, run, seed)
            check_unchanged(record, wanted)
            older += wanted["code"] != plan.training_code(backbone, run)
    for dataset, finished in trained_on.items():
        check_list_unchanged(plan.config, dataset, Path(plan.store_dir(dataset)), finished)
    return older
