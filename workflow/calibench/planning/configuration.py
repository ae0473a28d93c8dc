"""Read a configuration: merge YAML files, check them with the schema, fill in the defaults."""

import functools
from pathlib import Path
from typing import Any

import yaml

from calibench.cli import json_object
from calibench.errors import UserError
from calibench.planning.folds import add_folds
from calibench.planning.schema import check, check_plain, completed_part, fill_defaults, load_schema
from calibench.planning.sweeping import add_variants


class _Loader(yaml.SafeLoader):
    """Plain YAML without duplicate keys; PyYAML silently uses the last of them."""

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        first: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                if key.value in first:
                    raise UserError(
                        f"key '{key.value}' exists twice, in lines {first[key.value]} and {line}; keep one"
                    )
                first[key.value] = line
        return node


def complete(config: dict[str, Any]) -> dict[str, Any]:
    """The checked configuration with all defaults, as a copy; UserError for the first mistake."""
    config = _without_removed(config)
    check(config)
    schema = load_schema()
    filled = fill_defaults(config, schema, schema)
    add_variants(filled)
    for name, settings in filled["datasets"].items():
        check_dataset(settings, name)
    add_folds(filled)
    return filled


def _without_removed(config: dict[str, Any]) -> dict[str, Any]:
    """Without the data sets that a later file has set to null."""
    datasets = config.get("datasets")
    if not isinstance(datasets, dict):
        return config
    return config | {"datasets": {name: given for name, given in datasets.items() if given is not None}}


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Keys and values of one YAML file; UserError if it cannot be read, is not plain YAML, or has a key twice."""
    try:
        found = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_Loader)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except RecursionError as error:
        raise UserError(f"{path} has too many levels of nesting; use fewer") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date such as 2020-13-01
        raise UserError(f"{path} is not plain YAML: {' '.join(str(error).split())}") from error
    found = {} if found is None else found
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected keys and values at the top level")
    check_plain(found, str(path))
    return found


def read(*paths: str | Path) -> dict[str, Any]:
    """Read YAML files, merge them key by key (later files win), and complete the result."""
    return complete(functools.reduce(merge, map(read_yaml, paths), {}))


def merge(base: dict, over: dict) -> dict:
    """Merge dictionaries key by key; all other values are replaced."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merge(result[key], value) if both else value
    return result


def check_dataset(settings: dict[str, Any], name: str) -> None:
    """Raise UserError if values of a data set do not fit together, which a schema cannot check."""
    where = f"config: datasets.{name}"
    if settings["split"]["val"] + settings["split"]["test"] >= 1:
        raise UserError(f"{where}.split: val and test leave no images for train; lower one of them")
    held_out = "leave_one_out" if settings["leave_one_out"] else "split.test_strata"
    if settings["split"]["test_strata"] or settings["leave_one_out"]:
        if not settings["train_on"]:
            raise UserError(f"{where}.{held_out} has no effect with train_on: false; remove it")
        if settings["split"]["test_strata"] and settings["leave_one_out"]:
            raise UserError(
                f"{where}: leave_one_out sets split.test_strata for each stratum; remove one of the two"
            )
    window = settings["store"]["window"]
    if isinstance(window, list) and not window[0] < window[1]:
        raise UserError(f"{where}.store.window must be [lowest, highest] with lowest < highest; got {window}")
    copy, series = (settings["audit"][f"{level}_correlation"] for level in ("copy", "series"))
    if series > copy:
        raise UserError(
            f"{where}.audit: series_correlation ({series}) is above copy_correlation ({copy}); lower it"
        )
    names = settings["labels"]
    if names is not None and len(set(names)) < len(names):
        raise UserError(f"{where}.labels has the same name twice; use different names")


def dataset_settings(text: str) -> tuple[dict[str, Any], str]:
    """Complete settings of a data set for a stage, and the fingerprint of the code from the rule.

    ``text`` is JSON with ``name``, ``code`` and any keys of ``datasets.<name>``. UserError for the first mistake.
    """
    given = json_object(text)
    name, code = str(given.pop("name", "dataset")), str(given.pop("code", ""))
    settings = completed_part({"root": ".", **given}, ("$defs", "dataset"), ("datasets", name))
    check_dataset(settings, name)
    return {"name": name, **settings}, code


def statistics_settings(text: str) -> dict[str, Any]:
    """Complete settings of resampling and comparisons (``statistics`` in a config) for a stage."""
    return completed_part(json_object(text), ("properties", "statistics"), ("statistics",))


def evaluation_settings(text: str) -> dict[str, Any]:
    """Complete settings of the evaluation sets (``evaluate_on`` in a config) for a stage, without ``code``."""
    given = {key: value for key, value in json_object(text).items() if key != "code"}
    return completed_part(given, ("properties", "evaluate_on"), ("evaluate_on",))
