"""From a completed configuration to the settings of each training run, and to the other runs that it needs."""

from typing import Any

from calibench.backbones.names import check_backbone
from calibench.errors import UserError, did_you_mean
from calibench.finished.names import REFINED
from calibench.planning.configuration import merge
from calibench.planning.naming import split_name
from calibench.planning.schema import check
from calibench.planning.sweeping import PARTS, run_names
from calibench.regimes import parts
from calibench.regimes.catalog import catalog


def regime_settings(config: dict[str, Any], regime: str, backbone: str, variant: str) -> dict[str, Any]:
    """Settings of a regime: defaults, then those of the config, of the backbone and of the variants."""
    settings = dict(catalog()[regime].settings)
    layers = [("regimes", config["regimes"].get(regime) or {})]
    by_backbone = config["by_backbone"].get(backbone, {}).get("regimes", {}).get(regime) or {}
    layers.append((f"by_backbone.{backbone}.regimes", by_backbone))
    layers += [(f"variants.{t}", config["variants"][t].get("regime", {})) for t in variant.split("+")[1:]]
    for where, layer in layers:
        for key, value in layer.items():
            if key not in settings and key not in catalog()[regime].required:
                known = [*settings, *catalog()[regime].required]
                raise UserError(
                    f"config: {where}: regime '{regime}' has no setting '{key}'; {did_you_mean(key, known)}"
                )
            settings[key] = value
    for key in catalog()[regime].required:
        if key not in settings:
            raise UserError(f"config: regimes.{regime}.{key} has no default; set it")
    return settings


def settings_of_regime(config: dict[str, Any], run: str, backbone: str) -> tuple[str, dict[str, Any]]:
    """The regime of a run and its settings."""
    regime, variant = split_name(run)
    return regime, regime_settings(config, regime, backbone, variant)


def runs_named(config: dict[str, Any], run: str, backbone: str) -> dict[str, tuple[str, str]]:
    """{key: (what is used, the run as in the setting)} of the runs that a run needs; UserError as in ``parts``."""
    info = catalog().get(split_name(run)[0])
    if info and not (info.other_runs or info.combines):
        return {}  # do not read its settings: rules that inherit from train_hard call this for hard with their variants
    regime, settings = settings_of_regime(config, run, backbone)
    try:
        return parts.other_runs(regime, settings)
    except UserError as error:
        raise UserError(f"config: regimes: {error}") from None


def part_of(
    config: dict[str, Any], part: str, backbone: str, variant: str, regime: str = ""
) -> dict[str, Any]:
    """``model``, ``train``, ``augment`` or ``data`` of a run: from config, backbone, regime and variants."""
    value = merge(config[part], config["by_backbone"].get(backbone, {}).get(part, {}))
    value = merge(value, config["by_regime"].get(regime, {}).get(part, {}))
    for token in variant.split("+")[1:]:
        value = merge(value, config["variants"][token].get(part, {}))
    return value


def settings_of(config: dict[str, Any], run: str, dataset: str, backbone: str, seed: int) -> dict[str, Any]:
    """All settings of one training run, as plain JSON data."""
    regime, variant = split_name(run)
    settings: dict[str, Any] = {}
    for part in PARTS:
        settings[part] = part_of(config, part, backbone, variant, regime)
        check(settings[part], part, where=f"config: run '{run}' on {backbone}: {part}")
    settings["train"] = dict(settings["train"])
    settings["train"]["lr"] *= settings["train"].pop("lr_factor")  # a run has only its final learning rate
    if config["tables"]["checkpoint"] == REFINED:
        settings["train"][REFINED] = True  # costs time and space: other experiments do not even have the key
    settings["regime"] = regime_settings(config, regime, backbone, variant)
    keys = {"dataset": dataset, "backbone": backbone, "regime": regime, "variant": variant, "seed": int(seed)}
    return settings | {"run": keys}


def _of_data(config: dict[str, Any], variant: str) -> list[str]:
    """The variants among ``+a+b`` that change the training data."""
    return [token for token in variant.split("+")[1:] if "data" in config["variants"].get(token, {})]


def other_run(config: dict[str, Any], run: str, backbone: str, key: str) -> tuple[str, str]:
    """The (backbone, run) that a key of :func:`runs_named` names, such as ``{backbone}/hard``.

    It is trained on the same data: it gets the variants of this run that set ``data`` (label noise), unless the
    setting names such a variant itself. Otherwise clean labels would leak into a comparison under noise. UserError if
    the name does not have the form backbone/run, or one of the two is unknown.
    """
    regime, variant = split_name(run)
    text = runs_named(config, run, backbone)[key][1]
    filled = text.replace("{backbone}", backbone)
    other_backbone, slash, other = filled.partition("/")
    if not slash or "/" in other:
        raise UserError(
            f"config: regime '{regime}': {key}: '{text}' does not have the form backbone/run, as resnet50/hard"
        )
    check_run(config, other, f"regime '{regime}': {key}")
    check_backbone(other_backbone, f"regimes.{regime}.{key}")
    if not _of_data(config, split_name(other)[1]):
        other += "".join(f"+{token}" for token in _of_data(config, variant))
    return other_backbone, other


def needed_runs(config: dict[str, Any]) -> set[tuple[str, str]]:
    """(backbone, run) of all runs of the experiment and of the runs that they need."""
    found: set[tuple[str, str]] = set()
    todo = [(backbone, run) for backbone in config["backbones"] for run in run_names(config)]
    while todo:
        backbone, run = here = todo.pop()
        if here not in found:
            found.add(here)
            todo += [other_run(config, run, backbone, key) for key in runs_named(config, run, backbone)]
    return found


def check_run(config: dict[str, Any], run: str, where: str = "runs") -> None:
    """Raise UserError if the regime or a variant of a run does not exist; ``where`` is the config key of the run."""
    regime, variant = split_name(run)
    if regime not in catalog():
        raise UserError(
            f"config: {where}: '{run}': unknown regime '{regime}'; {did_you_mean(regime, catalog())}"
        )
    for token in variant.split("+")[1:]:
        if token not in config["variants"]:
            raise UserError(
                f"config: {where}: '{run}': unknown variant '{token}'; {did_you_mean(token, config['variants'])}"
            )
