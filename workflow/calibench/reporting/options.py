"""What a setting is, where its value comes from, and how it differs between backbones."""

import ast
import functools
import re
from collections.abc import Callable
from typing import Any

from calibench import runs as naming
from calibench.catalog import RegimeInfo
from calibench.config import load_schema
from calibench.reporting.experiment import Experiment
from calibench.tables import backbone_label


@functools.cache
def _schema() -> dict[str, Any]:
    return load_schema()


def description(path: str) -> str:
    """The schema's text on a key such as ``train.lr`` or ``dataset.store.size``; '' where it says nothing."""
    root = _schema()
    node: dict[str, Any] = root
    for i, key in enumerate(path.split(".")):
        if i == 0 and key in root["$defs"]:
            node = root["$defs"][key]
        else:
            node = node.get("properties", {}).get(key, {})
        if "$ref" in node:
            node = {**root["$defs"][node["$ref"].rsplit("/", 1)[1]], **node}
    return " ".join(str(node.get("description", "")).split())


@functools.cache
def argument_texts(info: RegimeInfo) -> dict[str, str]:
    """Setting → its line under ``Args:`` of the regime's class, which names its provenance."""
    tree = ast.parse(info.file.read_text(encoding="utf-8"))
    node = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == info.class_name)
    _, _, block = (ast.get_docstring(node) or "").partition("Args:\n")
    texts: dict[str, str] = {}
    name = ""
    for line in block.splitlines():
        if not line.startswith("    "):
            break
        if match := re.match(r"    (\w+): (.*)", line):
            name, texts[match[1]] = match[1], match[2]
        elif name:
            texts[name] += " " + line.strip()
    return texts


def show(value: Any) -> str:
    """A value as one would say it."""
    if value is None:
        return "none"
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
    """One text when all backbones agree, else ``0.02 (ResNet-50), 0.05 (MobileNetV2)``."""
    texts = {name: show(value) for name, value in values.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    groups: dict[str, list[str]] = {}
    for name, text in texts.items():
        groups.setdefault(text, []).append(backbone_label(name))
    return "; ".join(f"{text} ({', '.join(names)})" for text, names in groups.items())


def recipe(experiment: Experiment, backbone: str) -> dict[str, dict[str, Any]]:
    """Parts model, train, augment and data of a backbone, without variants."""
    run = experiment.run_names[0].partition("+")[0]
    settings = naming.settings_of(experiment.config, run, experiment.datasets[0], backbone, 0)
    return {part: settings[part] for part in naming.PARTS}


def by_backbone(experiment: Experiment, get: Callable[[str], Any]) -> str:
    """``get(backbone)`` of every backbone as one text."""
    return common({backbone: get(backbone) for backbone in experiment.backbones})


def of_recipe(experiment: Experiment, path: str) -> str:
    """A recipe's key, as ``train.lr``, over the backbones."""
    part, key = path.split(".")
    return by_backbone(experiment, lambda backbone: recipe(experiment, backbone)[part][key])


def of_regime(experiment: Experiment, run: str, key: str) -> str:
    """A setting of a run's regime over the backbones."""
    regime, variant = naming.split_name(run)
    return by_backbone(experiment, lambda b: naming.regime_settings(experiment.config, regime, b, variant)[key])
