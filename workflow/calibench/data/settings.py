"""Settings of one dataset: the canonical JSON a rule hands to a stage, completed by the defaults below."""

import json
from typing import Any

from calibench.errors import UserError

# What a stage takes when it is called by hand; the workflow hands over every key, checked by its schema.
DEFAULTS: dict[str, Any] = {
    "name": "dataset",
    "format": "radimagenet",
    "labels": None,
    "files": {},
    "split": {"val": 0.1, "test": 0.2, "seed": 0},
    "sample": {"per_class": None, "seed": 0, "splits": ["train"]},
    "calibrate": 0.5,
    "store": {"size": 224, "colour": "grey", "interpolation": "auto", "unreadable": "stop", "window": None},
    "audit": {
        "enabled": True,
        "copy_correlation": 0.965,
        "series_correlation": 0.8,
        "test_copies": "drop",
        "val_copies": "drop",
        "conflicts": "keep",
        "unreadable": "drop",
        "blank": "keep",
        "group_by": "series",
    },
}
CHOICES = {
    "store": {
        "colour": ("grey", "rgb", "bgr"),
        "interpolation": ("auto", "area", "linear", "cubic"),
        "unreadable": ("stop", "drop"),
    },
    "audit": {
        "test_copies": ("drop", "keep"),
        "val_copies": ("drop", "keep"),
        "conflicts": ("keep", "drop"),
        "unreadable": ("drop", "stop"),
        "blank": ("keep", "drop"),
        "group_by": ("series", "copies", "none"),
    },
}


def _complete(given: dict[str, Any], defaults: dict[str, Any], where: str) -> dict[str, Any]:
    merged = dict(defaults)
    for key, value in given.items():
        default = defaults.get(key)
        if isinstance(default, dict) and default:
            if not isinstance(value, dict):
                raise UserError(f"{where}{key} must be a mapping, got {value!r}")
            merged[key] = _complete(value, default, f"{where}{key}.")
        else:
            merged[key] = value
    return merged


def _share(value: Any, key: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise UserError(f"{key} must be a number from 0 to below 1, got {value!r}")


def _whole(value: Any, key: str, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UserError(f"{key} must be a whole number of at least {least}, got {value!r}")


def _check_store(store: dict[str, Any], where: str) -> None:
    _whole(store["size"], f"{where}.store.size", 1)
    window = store["window"]
    if window is not None:
        numbers = isinstance(window, list) and all(
            isinstance(w, (int, float)) and not isinstance(w, bool) for w in window
        )
        if not numbers or len(window) != 2 or not window[0] < window[1]:
            raise UserError(
                f"{where}.store.window must be [lowest, highest] with lowest < highest; got {window!r}"
            )


def _check(settings: dict[str, Any]) -> None:
    where = f"datasets.{settings['name']}"
    for key in ("val", "test"):
        _share(settings["split"][key], f"{where}.split.{key}")
    if settings["split"]["val"] + settings["split"]["test"] >= 1:
        raise UserError(f"{where}.split: val and test together leave nothing for train; lower one of them")
    _share(settings["calibrate"], f"{where}.calibrate")
    names = settings["labels"]
    if names is not None and not (isinstance(names, list) and len(set(map(str, names))) == len(names)):
        raise UserError(
            f"{where}.labels must be a list of different class names, in the order of the numbers"
        )
    sample = settings["sample"]
    if sample["per_class"] is not None:
        _whole(sample["per_class"], f"{where}.sample.per_class", 1)
    unknown = sorted(set(sample["splits"]) - {"train", "val", "test"})
    if unknown:
        raise UserError(f"{where}.sample.splits: '{unknown[0]}' is none of train, val, test")
    for part, choices in CHOICES.items():
        for key, allowed in choices.items():
            if settings[part][key] not in allowed:
                value = settings[part][key]
                raise UserError(f"{where}.{part}.{key} must be one of {', '.join(allowed)}; got {value!r}")
    _check_store(settings["store"], where)
    copy, series = (settings["audit"][f"{level}_correlation"] for level in ("copy", "series"))
    if not 0.5 <= series <= copy <= 1:
        raise UserError(
            f"{where}.audit: 0.5 <= series_correlation <= copy_correlation <= 1 is wanted; got {series} and {copy}"
        )


def parse(text: str) -> dict[str, Any]:
    """Settings of one dataset from JSON, completed by :data:`DEFAULTS`.

    Raises:
        UserError: if the text is no JSON mapping or a value is out of its range.
    """
    try:
        given = json.loads(text)
    except ValueError as error:
        raise UserError(f"--settings is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise UserError("--settings must be a JSON mapping")
    settings = _complete(given, DEFAULTS, f"datasets.{given.get('name', 'dataset')}.")
    _check(settings)
    return settings


def code_of(text: str) -> str:
    """Fingerprint of the code that the rule hands over beside the settings; empty where a stage is called by hand."""
    return str(json.loads(text).get("code", ""))
