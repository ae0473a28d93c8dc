"""Regimes made of others: which ones, with which settings, and what all of them need. No torch.

A class with ``combines = True`` has the settings ``of``, the regimes (a name, or a mapping with names as keys), and
``settings``, a mapping from such a name to the settings of that regime.
"""

from collections.abc import Mapping
from typing import Any

from calibench.errors import UserError
from calibench.regimes.catalog import RegimeInfo, catalog


def parts(name: str, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """{part: all of its settings} of a regime made of others, sorted by name; {} of any other regime.

    UserError if a part or one of its settings does not exist, or a part is itself made of others.
    """
    if not catalog()[name].combines:
        return {}
    of, changed = settings["of"], settings["settings"]
    named = {of: None} if isinstance(of, str) else of
    if not isinstance(named, Mapping) or not isinstance(changed, Mapping):
        raise UserError(
            f"{name}: of must name regimes, and settings map them to settings; got {of!r}, {changed!r}"
        )
    for part in named:
        if part not in catalog() or catalog()[part].combines:
            plain = ", ".join(n for n, info in catalog().items() if not info.combines)
            raise UserError(f"{name}: of: '{part}' cannot be a part; it is made of one or more of: {plain}")
    if unused := sorted(set(changed) - set(named)):
        raise UserError(f"{name}: settings: '{unused[0]}' is not in of; add it there or remove it here")
    return {part: _settings(name, catalog()[part], changed.get(part) or {}) for part in sorted(named)}


def _settings(name: str, part: RegimeInfo, changed: Mapping[str, Any]) -> dict[str, Any]:
    known = [*part.settings, *part.required]
    for key in changed:
        if key not in known:
            there = ", ".join(known) or "none"
            raise UserError(f"{name}: settings: {part.name} has no setting '{key}'; it has: {there}")
    for key in part.required:
        if key not in changed:
            raise UserError(f"{name}: settings: {part.name}: {key} has no default; set it")
    return part.settings | dict(changed)


def other_runs(name: str, settings: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """{key: (what is used of another run, that run as ``backbone/run``)}, in a fixed order.

    The key is the setting that names the run, ``teacher``, or ``kd.teacher`` for a part. Parts that use the same of
    the same run share it. UserError if two parts use the same of two different runs, and as in :func:`parts`.
    """
    info = catalog()[name]
    found = {key: (wanted, str(settings[key])) for key, wanted in info.other_runs.items()}
    owner = {wanted: name for wanted, _ in found.values()}
    for part, own in parts(name, settings).items():
        for key, (wanted, run) in other_runs(part, own).items():
            if wanted not in owner:
                owner[wanted], found[f"{part}.{key}"] = part, (wanted, run)
            elif (wanted, run) not in found.values():
                first = next(r for w, r in found.values() if w == wanted)
                raise UserError(
                    f"{name}: {owner[wanted]} uses the {wanted} of run '{first}' and {part} those of '{run}'; "
                    "give both the same run or leave one out"
                )
    return found


def needs(name: str, settings: Mapping[str, Any]) -> set[str]:
    """The ``needs`` of a regime and of its parts."""
    return set(catalog()[name].needs).union(*(catalog()[part].needs for part in parts(name, settings)))


def modules(name: str, settings: Mapping[str, Any]) -> list[str]:
    """Modules of a regime and of its parts; no import statement names them."""
    names = [name, *parts(name, settings)]
    return [catalog()[regime].module for regime in names]
