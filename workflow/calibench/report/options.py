"""What a setting is, where its value comes from, and how it differs between backbones."""

import functools
from collections.abc import Iterable
from typing import Any

from calibench.backbones.names import backbone_label
from calibench.planning import naming
from calibench.planning.schema import load_schema
from calibench.planning.settings import part_of, regime_settings
from calibench.report.experiment import Experiment


def _node(path: str) -> dict[str, Any]:
    root = node = load_schema()
    for i, key in enumerate(path.split(".")):
        defined = root["$defs"] if i == 0 and key in root["$defs"] else node.get("properties", {})
        node = defined.get(key, {})
        if "$ref" in node:
            node = {**root["$defs"][node["$ref"].rsplit("/", 1)[1]], **node}
    return node


def description(path: str) -> str:
    """The schema's text on a key such as ``train.lr`` or ``dataset.store.size``; '' where it says nothing."""
    return " ".join(str(_node(path).get("description", "")).split())


def origin(path: str, values: Iterable[Any]) -> str:
    """Where the values of a key come from: this experiment's config, or the default with the schema's text."""
    node = _node(path)
    text = description(path)
    if "default" not in node or all(value == node["default"] for value in values):
        return text
    return f"set by this config; default {show(node['default'])}" + (f": {text}" if text else "")


def show(value: Any) -> str:
    """A value as one would say it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{k} {show(v)}" for k, v in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(show, value)) or "none"
    return str(value)


def common(values: dict[str, Any]) -> str:
    """One text when all backbones (or data sets) agree, else ``0.02 (ResNet-50), 0.05 (MobileNetV2)``."""
    groups: dict[str, list[str]] = {}
    for name, value in values.items():
        groups.setdefault(show(value), []).append(backbone_label(name))
    if len(groups) == 1:
        return next(iter(groups))
    return "; ".join(f"{text} ({', '.join(names)})" for text, names in groups.items())


def of_recipe(x: Experiment, path: str) -> dict[str, Any]:
    """A recipe's key, as ``train.lr``, backbone → value, without variants."""
    part, key = path.split(".")
    return {backbone: part_of(x.config, part, backbone, "")[key] for backbone in x.backbones}


def of_regime(x: Experiment, run: str, key: str) -> str:
    """A setting of a run's regime over the backbones, with its default where it is another."""
    regime, variant = naming.split_name(run)
    values = {b: regime_settings(x.config, regime, b, variant)[key] for b in x.backbones}
    default = x.regimes[regime].settings[key]
    changed = any(value != default for value in values.values())
    return common(values) + (f" (set by this config; default {show(default)})" if changed else "")


def regime_choices(x: Experiment, name: str, keys: list[str]) -> list[tuple[str, str, str]]:
    """(setting, value, where it comes from) of a regime; none if it takes no part."""
    if name not in x.regimes:
        return []
    texts = x.regimes[name].texts
    return [(key, of_regime(x, name, key), texts[key]) for key in keys if key in texts]


def dataset_choice(x: Experiment, path: str) -> tuple[str, str]:
    """Value over data sets and where it comes from, of a key such as ``store.colour``."""
    settings = x.config["datasets"]
    found = {
        d: functools.reduce(lambda at, key: at.get(key, {}), path.split("."), settings[d]) for d in x.datasets
    }
    whole = path in ("files", "split")  # groups of keys have no default of their own
    text = description(f"dataset.{path}") if whole else origin(f"dataset.{path}", found.values())
    return common(found), text
