"""What an edited configuration or a newer version of the code must not delete: finished runs and their data."""

import functools
from pathlib import Path
from typing import Any

from calibench.errors import UserError
from calibench.files import read_json, sha256_of
from calibench.planning.schema import fill_defaults, load_schema

STORE_RECORDS = {"list": "inputs.json", "audit": "audit.json", "sample": "sample.json", "store": "store.json"}


def changed_list(store: Path) -> str | None:
    """The first list file whose content is no longer that of which the store was made; None if there is none."""
    record = store / "inputs.json"
    before = read_json(record)["inputs"] if record.exists() else {}
    return next(
        (path for path, sha in before.items() if Path(path).is_file() and sha256_of(path) != sha), None
    )


def kept_code(store: Path, audited: bool) -> dict[str, str]:
    """Fingerprints of the code that made a whole store of an unchanged list, by stage; empty if it is none.

    Args:
        store: its folder.
        audited: whether its data set is audited.
    """
    stages = {stage: file for stage, file in STORE_RECORDS.items() if audited or stage != "audit"}
    others = ["images.npy", "index.csv", "classes.csv", "list.csv", "sample.csv"]
    if not all((store / file).exists() for file in [*stages.values(), *others]) or changed_list(store):
        return {}
    return {stage: read_json(store / file).get("code", "") for stage, file in stages.items()}


def check_list_unchanged(config: dict[str, Any], dataset: str, store: Path, finished: int) -> None:
    """Check that a data set's list files are those its store was made from: runs on two lists are no comparison.

    Args:
        config: the completed configuration.
        dataset: its name there.
        store: folder of its store; without ``inputs.json`` there is nothing to compare.
        finished: number of finished runs that were trained on it.

    Raises:
        UserError: naming the file that changed and the ways on.
    """
    if finished and (path := changed_list(store)):
        raise UserError(
            f"config: datasets.{dataset}: '{path}' has changed since {finished} finished runs were trained on it: "
            "restore it, or give the experiment another `name` to train on the new list, or delete those runs "
            "(`protect: false` does it)"
        )


@functools.cache
def _digest(path: Path, mtime_ns: int) -> str:
    """SHA-256 of a file that many runs are compared with, read once for each time it was written."""
    return sha256_of(path)


def check_same_data(record: Path, index: Path) -> None:
    """Check that a finished run was trained on the images and labels that its store holds now.

    Args:
        record: ``run.json`` of the run.
        index: ``index.csv`` of the store, which need not exist.

    Raises:
        UserError: naming the run and the ways on.
    """
    found = read_json(record).get("data", {}).get("index")
    if found and index.exists() and found != _digest(index, index.stat().st_mtime_ns):
        raise UserError(
            f"{record.parent} was trained on other images or labels than {index} has now: give the experiment another "
            "`name`, or delete that folder, or set `protect: false` to let it be trained anew"
        )


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(set(old) | set(new))
        return [d for k in keys for d in _differences(old.get(k), new.get(k), f"{path}{k}: ")]
    return [] if old == new else [f"{path}{old} → {new}"]


def _completed(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a run that an older version trained, with the defaults of keys that it did not know."""
    schema = load_schema()
    parts = {
        part: fill_defaults(settings[part], schema["$defs"][part], schema)
        for part in ("model", "train", "augment", "data")
        if part in settings
    }
    parts.get("train", {}).pop("lr_factor", None)  # a run knows its learning rate only
    return settings | parts


def with_recorded_code(record: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """The wanted settings; those of a finished run where it differs in code and in keys it did not know only.

    Args:
        record: ``run.json`` of the run, which need not exist.
        wanted: the settings it would be trained with now.
    """
    if not record.exists():
        return wanted
    found = read_json(record)["settings"]
    same = {**_completed(found), "code": ""} == {**wanted, "code": ""}
    return found if same else wanted


def check_unchanged(record: Path, wanted: dict[str, Any]) -> None:
    """Check that a finished run has the settings the config asks for now.

    Args:
        record: ``run.json`` of the finished run.
        wanted: settings it would be trained with now.

    Raises:
        UserError: naming what differs and the three ways on.
    """
    found = read_json(record)["settings"]
    differences = [] if found == wanted else _differences(_completed(found), wanted)
    if differences:
        raise UserError(
            f"{record.parent} is finished, with other settings ({'; '.join(differences[:3])}): give the experiment another "
            "`name`, or delete that folder, or set `protect: false` to let it be trained anew"
        )
