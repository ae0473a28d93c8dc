"""From a completed configuration to runs: names, settings, and the stores they read. No Snakemake in here."""

import functools
import hashlib
import re
from pathlib import Path
from typing import Any

from calibench import config as configuration
from calibench.backbone_names import check_backbone
from calibench.catalog import catalog
from calibench.errors import UserError
from calibench.files import canonical, read_json, sha256_of

PARTS = ("model", "train", "augment", "data")
# those of calibench.metrics.posthoc.FITS, which imports SciPy; a test holds the two together
CALIBRATORS = ("temperature", "vector", "isotonic", "ensemble_temperature")
STORE_RECORDS = {"list": "inputs.json", "audit": "audit.json", "sample": "sample.json", "store": "store.json"}
PUBLISHED = Path(__file__).parents[2] / "config" / "published"
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
        found |= {f"{run}+{configuration.lr_variant(f)}": (run, f) for f in factors}
    return found


def split_name(run: str) -> tuple[str, str]:
    """``ols+alpha03+cutmix`` → ``("ols", "+alpha03+cutmix")``."""
    regime, plus, variant = run.partition("+")
    return regime, plus + variant


def regime_settings(config: dict[str, Any], regime: str, backbone: str, variant: str) -> dict[str, Any]:
    """Settings of a regime: its defaults, the config's, the backbone's, then the variants' overrides."""
    settings = dict(catalog()[regime].settings)
    layers = [("regimes", config["regimes"].get(regime) or {})]
    by_backbone = config["by_backbone"].get(backbone, {}).get("regimes", {}).get(regime) or {}
    layers.append((f"by_backbone: {backbone}: regimes", by_backbone))
    layers += [(f"variants: {t}", config["variants"][t].get("regime", {})) for t in variant.split("+")[1:]]
    for where, layer in layers:
        for key, value in layer.items():
            if key not in settings and key not in catalog()[regime].required:
                known = ", ".join([*settings, *catalog()[regime].required]) or "none"
                raise UserError(f"config: {where}: regime '{regime}' has no setting '{key}'; it has: {known}")
            settings[key] = value
    for key in catalog()[regime].required:
        if key not in settings:
            raise UserError(f"config: regimes: {regime}: {key} has no default; set it")
    return settings


def part_of(config: dict[str, Any], part: str, backbone: str, variant: str) -> dict[str, Any]:
    """``model``, ``train``, ``augment`` or ``data`` of a run: the config's, the backbone's, then the variants'."""
    value = configuration.merge(config[part], config["by_backbone"].get(backbone, {}).get(part, {}))
    for token in variant.split("+")[1:]:
        value = configuration.merge(value, config["variants"][token].get(part, {}))
    return value


def settings_of(config: dict[str, Any], run: str, dataset: str, backbone: str, seed: int) -> dict[str, Any]:
    """All that one training run reads, as plain JSON data."""
    regime, variant = split_name(run)
    settings: dict[str, Any] = {}
    for part in PARTS:
        settings[part] = part_of(config, part, backbone, variant)
        configuration.check(settings[part], part, where=f"config: run '{run}' on {backbone}: {part}")
    settings["train"] = dict(settings["train"])
    settings["train"]["lr"] *= settings["train"].pop("lr_factor")  # a run knows its learning rate only
    settings["regime"] = regime_settings(config, regime, backbone, variant)
    settings["run"] = {
        "dataset": dataset,
        "backbone": backbone,
        "regime": regime,
        "variant": variant,
        "seed": int(seed),
    }
    return settings


def _of_data(config: dict[str, Any], variant: str) -> list[str]:
    """The variants among ``+a+b`` that change what data a run is trained on."""
    return [token for token in variant.split("+")[1:] if "data" in config["variants"].get(token, {})]


def other_run(config: dict[str, Any], run: str, backbone: str, key: str) -> tuple[str, str]:
    """The (backbone, run) that setting ``key`` of this run names, as in ``{backbone}/hard``.

    It is trained on the same data: variants of this run that set ``data`` (label noise) are its as well, unless the
    setting names such a variant itself. Clean labels would otherwise leak into a comparison under noise.

    Raises:
        UserError: if it is not of the form backbone/run or names an unknown run or backbone.
    """
    regime, variant = split_name(run)
    text = str(regime_settings(config, regime, backbone, variant)[key])
    filled = text.replace("{backbone}", backbone)
    other_backbone, slash, other = filled.partition("/")
    if not slash or "/" in other:
        raise UserError(
            f"config: regime '{regime}': {key}: '{text}' is not of the form backbone/run, as resnet50/hard"
        )
    check_run(config, other, f"regime '{regime}': {key}")
    check_backbone(other_backbone, f"regimes: {regime}: {key}")
    if not _of_data(config, split_name(other)[1]):
        other += "".join(f"+{token}" for token in _of_data(config, variant))
    return other_backbone, other


def needed_runs(config: dict[str, Any]) -> set[tuple[str, str]]:
    """(backbone, run) of all runs of the experiment and of those they are built on."""
    found: set[tuple[str, str]] = set()
    todo = [(backbone, run) for backbone in config["backbones"] for run in run_names(config)]
    while todo:
        backbone, run = here = todo.pop()
        if here not in found:
            found.add(here)
            keys = catalog()[split_name(run)[0]].other_runs
            todo += [other_run(config, run, backbone, key) for key in keys]
    return found


def check_run(config: dict[str, Any], run: str, where: str = "runs") -> None:
    """Check that a run's regime and variants exist.

    Raises:
        UserError: with what there is.
    """
    regime, variant = split_name(run)
    if regime not in catalog():
        raise UserError(
            f"config: {where}: '{run}': unknown regime '{regime}'; there are: {', '.join(catalog())}"
        )
    for token in variant.split("+")[1:]:
        if token not in config["variants"]:
            known = ", ".join(config["variants"]) or "none"
            raise UserError(
                f"config: {where}: '{run}': no variant '{token}' under variants; there are: {known}"
            )


def check_no_cycle(config: dict[str, Any], run: str, backbone: str, trail: tuple = ()) -> None:
    """Check a run's settings and those of the runs it needs; a run that needs itself cannot be planned.

    Raises:
        UserError: showing the first mistake, or the cycle.
    """
    here = (backbone, run)
    if here in trail:
        chain = " → ".join(f"{b}/{r}" for b, r in [*trail, here])
        raise UserError(f"config: runs need each other in a circle: {chain}; name another teacher")
    settings_of(config, run, next(iter(config["datasets"])), backbone, 0)
    for key, wanted in catalog()[split_name(run)[0]].other_runs.items():
        other_backbone, other = other_run(config, run, backbone, key)
        if wanted == "regime" and not catalog()[split_name(other)[0]].matrix:
            raise UserError(
                f"config: regime '{split_name(run)[0]}': {key}: '{other}' learns no matrix; name a run that does"
            )
        check_no_cycle(config, other, other_backbone, (*trail, here))


def _check_regimes_named(settings: dict[str, Any], where: str) -> None:
    for regime in settings:
        if regime not in catalog():
            raise UserError(f"config: {where}: unknown regime '{regime}'; there are: {', '.join(catalog())}")


def _check_contrast(config: dict[str, Any], contrast: list[str]) -> None:
    """Both names are runs of the experiment, differ, and what follows an @ is a calibrator that can be fitted."""
    where = "config: statistics: contrasts"
    if contrast[0] == contrast[1]:
        raise UserError(f"{where}: '{contrast[0]}' is compared with itself; name two runs")
    for run, at, calibrator in (name.partition("@") for name in contrast):
        if run not in run_names(config):
            raise UserError(f"{where}: '{run}' is not among runs; add it there or leave it out")
        if at and calibrator not in CALIBRATORS:
            raise UserError(
                f"{where}: '{run}@{calibrator}': no calibrator '{calibrator}'; there are: {', '.join(CALIBRATORS)}"
            )
        unfit = [name for name, data in config["datasets"].items() if data["calibrate"] == 0]
        if at and unfit:
            raise UserError(
                f"{where}: '{run}@{calibrator}' is fitted on the calibration half of validation; set datasets: "
                f"{unfit[0]}: calibrate above 0, or leave the contrast out"
            )


def _check_published(name: str | None) -> None:
    known = sorted(path.stem for path in PUBLISHED.glob("*.csv"))
    if name is not None and known and name not in known:
        raise UserError(f"config: tables: published: there is no '{name}'; there are: {', '.join(known)}")


def check_all(config: dict[str, Any]) -> None:
    """Check every run of the experiment before anything is planned.

    Raises:
        UserError: for the first mistake found.
    """
    _check_regimes_named(config["regimes"], "regimes")
    for backbone, changes in config["by_backbone"].items():
        check_backbone(backbone, "by_backbone")
        _check_regimes_named(changes.get("regimes") or {}, f"by_backbone: {backbone}: regimes")
    for contrast in config["statistics"]["contrasts"]:
        _check_contrast(config, contrast)
    _check_published(config["tables"]["published"])
    for backbone in config["backbones"]:
        check_backbone(backbone)
    for run in run_names(config):
        check_run(config, run)
        for backbone in config["backbones"]:
            check_no_cycle(config, run, backbone)


def dataset_settings(config: dict[str, Any], dataset: str) -> dict[str, Any]:
    """What list, audit, sample and store of a data set read; where training reads the store from is none of it."""
    settings = {"name": dataset, **{key: config["datasets"][dataset][key] for key in DATA_KEYS}}
    settings["store"] = {k: v for k, v in settings["store"].items() if k != "tmpdir"}
    return settings


def store_name(config: dict[str, Any], dataset: str) -> str:
    """Folder name of a data set's store: its name and a hash of all that decides its content."""
    settings = dataset_settings(config, dataset)
    return f"{dataset}-{hashlib.sha256(canonical(settings).encode()).hexdigest()[:10]}"


def list_inputs(config: dict[str, Any], dataset: str) -> list[str]:
    """The files a data set is listed from: its list files where there are any, else what its root is."""
    settings = config["datasets"][dataset]
    files = dict(settings["files"])
    if settings["format"] == "radimagenet" and not files:
        files = {split: f"RadiologyAI_{split}.csv" for split in ("train", "val", "test")}
    if settings["format"] in ("list", "semicolon") and not files:
        raise UserError(
            f"config: datasets: {dataset}: files is missing; name the list as {{list: images.csv}} or {{train: …, val: …, test: …}}"
        )
    return [str(Path(settings["root"]).expanduser() / name) for name in files.values()]


def check_root(config: dict[str, Any], dataset: str) -> None:
    """Check that a data set's files are where the config says; sets the workflow makes itself are not asked for.

    Raises:
        UserError: naming key and path, and how to get access.
    """
    root = Path(config["datasets"][dataset]["root"]).expanduser()
    if root.parts[:2] == ("results", "data"):
        return
    key = f"config: datasets: {dataset}: root"
    if not root.exists():
        access = (
            "; RadImageNet is given on request at radimagenet.com: put the folder that holds radiology_ai/ and the "
            "RadiologyAI_*.csv there"
            if config["datasets"][dataset]["format"] == "radimagenet"
            else ""
        )
        raise UserError(f"{key}: '{root}' does not exist{access}, or point the key at your copy")
    missing = [p for p in list_inputs(config, dataset) if not Path(p).exists()]
    if missing:
        raise UserError(f"{key}: list file '{missing[0]}' does not exist; correct root or files")


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
            f"config: datasets: {dataset}: '{path}' has changed since {finished} finished runs were trained on it: "
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


def with_recorded_code(record: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """The wanted settings; if a finished run differs in the fingerprint of the code only, with that run's fingerprint.

    Args:
        record: ``run.json`` of the run, which need not exist.
        wanted: the settings it would be trained with now.
    """
    if not record.exists():
        return wanted
    found = read_json(record)["settings"]
    same = {**found, "code": ""} == {**wanted, "code": ""}
    return wanted | {"code": found["code"]} if same else wanted


def check_unchanged(record: Path, wanted: dict[str, Any]) -> None:
    """Check that a finished run has the settings the config asks for now.

    Args:
        record: ``run.json`` of the finished run.
        wanted: settings it would be trained with now.

    Raises:
        UserError: naming what differs and the three ways on.
    """
    found = read_json(record)["settings"]
    differences = _differences(found, wanted)
    if differences:
        raise UserError(
            f"{record.parent} is finished, with other settings ({'; '.join(differences[:3])}): give the experiment another "
            "`name`, or delete that folder, or set `protect: false` to let it be trained anew"
        )
