"""Sweeps: which runs are trained with which values of a setting, and their names."""

from dataclasses import dataclass
from functools import reduce
from typing import Any

from calibench.errors import UserError, did_you_mean
from calibench.planning.naming import named_runs, split_name
from calibench.planning.schema import load_schema
from calibench.regimes.catalog import catalog

PARTS = ("model", "train", "augment", "data")


@dataclass(frozen=True)
class Try:
    """One value of one setting: the run with the value, and the run without the sweep (``base``), which has its own."""

    run: str
    base: str
    setting: str
    value: Any


def swept(config: dict[str, Any]) -> dict[str, list]:
    """{setting: values} of the sweep; ``lr`` are factors on the learning rate."""
    return {key: values for key, values in config.get("sweep", {}).items() if key != "by" and values}


def variant_name(setting: str, value: Any) -> str:
    """Name of the variant with a swept value: ``lr3``, ``alpha0.3``, ``update_every12``."""
    text = f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value).lower()
    return setting.rpartition(".")[2] + text.replace("-", "m")


def variant(setting: str, value: Any) -> dict[str, Any]:
    """The overrides that give a run this value."""
    if setting == "lr":
        return {"train": {"lr_factor": value}}
    first, *path = setting.split(".")
    keys = [first if first in PARTS else "regime", *path]
    return reduce(lambda inner, key: {key: inner}, reversed(keys), value)


def _applies(setting: str, run: str) -> bool:
    first = setting.partition(".")[0]
    return setting == "lr" or first in PARTS or first == split_name(run)[0]


def own_value(config: dict[str, Any], run: str, setting: str) -> Any:
    """The value of a run without the sweep: from its variants, the config or the default."""
    if setting == "lr":
        return 1
    regime, variants = split_name(run)
    first, *path = setting.split(".")
    layers = [config["variants"][token] for token in variants.split("+")[1:] if token in config["variants"]]
    if first in PARTS:
        found = [config[first], *(layer.get(first, {}) for layer in layers)]
    else:
        found = [catalog()[regime].settings, config["regimes"].get(first) or {}]
        found += [layer.get("regime", {}) for layer in layers]
    value = None
    for layer in found:
        for key in path:
            layer = layer[key] if isinstance(layer, dict) and key in layer else _MISSING
        value = value if layer is _MISSING else layer
    return value


_MISSING = object()


def tries(config: dict[str, Any]) -> list[Try]:
    """All runs of the experiment in order; for each swept setting the run's own value comes first."""
    found = []
    for base in named_runs(config):
        for setting, values in swept(config).items():
            if not _applies(setting, base):
                continue
            own = own_value(config, base, setting)
            found.append(Try(base, base, setting, own))
            found += [
                Try(f"{base}+{variant_name(setting, value)}", base, setting, value)
                for value in values
                if value != own
            ]
    return found


def run_names(config: dict[str, Any]) -> list[str]:
    """The runs in the config, braces expanded, in order, each once and followed by the runs of its sweep."""
    of_base: dict[str, list[str]] = {run: [run] for run in named_runs(config)}
    for item in tries(config):
        of_base[item.base].append(item.run)
    return list(dict.fromkeys(run for runs in of_base.values() for run in runs))


def add_variants(config: dict[str, Any]) -> None:
    """Add the variants of the sweep to the completed configuration; UserError if a name is used already."""
    for setting, values in swept(config).items():
        for value in values:
            name, wanted = variant_name(setting, value), variant(setting, value)
            if config["variants"].setdefault(name, wanted) != wanted:
                raise UserError(
                    f"config: variants.{name}: the sweep of {setting} needs this name; rename your variant"
                )


def check_sweep(config: dict[str, Any]) -> None:
    """Raise UserError if a swept setting does not exist, belongs to no run, or depends on the backbone."""
    for setting in swept(config):
        if setting == "lr":
            continue
        where, (first, *path) = f"config: sweep: '{setting}'", setting.split(".")
        if first not in PARTS and first not in catalog():
            raise UserError(
                f"{where} is not a setting; write lr, <regime>.<setting> such as ols.alpha, or one of "
                f"{', '.join(PARTS)} with its key, such as train.momentum"
            )
        if first in PARTS:
            known = list(load_schema()["$defs"][first]["properties"])
        else:
            known = [*catalog()[first].settings, *catalog()[first].required]
        if not path or path[0] not in known:
            hint = did_you_mean(setting, [f"{first}.{key}" for key in known])
            raise UserError(f"{where} does not exist; {hint}")
        if not any(_applies(setting, run) for run in named_runs(config)):
            raise UserError(f"{where}: runs has no run of that regime; add one, or remove the sweep")
        _check_one_default(config, where, first, path[0])


def _check_one_default(config: dict[str, Any], where: str, first: str, key: str) -> None:
    for backbone, layers in config["by_backbone"].items():
        part = layers.get(first) if first in PARTS else (layers.get("regimes") or {}).get(first)
        if key in (part or {}):
            raise UserError(
                f"{where} has another value for {backbone} under by_backbone; sweep that backbone in a separate experiment"
            )
    for regime, layers in config["by_regime"].items():
        if key in layers.get(first, {}):
            raise UserError(
                f"{where} has another value under by_regime.{regime}; sweep it in a separate experiment"
            )
