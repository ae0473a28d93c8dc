"""Training regimes: ``from calibench.regimes import OLS`` or ``build("ols", num_classes=11, alpha=0.5)``."""

import importlib
from typing import Any

from calibench.errors import UserError
from calibench.regimes.catalog import catalog


def build(name: str, num_classes: int, **settings: Any):
    """Make a regime by its name in configs; UserError if the name or a setting is unknown."""
    info = catalog().get(name)
    if info is None:
        raise UserError(f"unknown regime '{name}'; there are: {', '.join(catalog())}")
    known = [*info.settings, *info.required]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise UserError(
            f"regime '{name}' has no setting '{unknown[0]}'; it takes: {', '.join(known) or 'none'}"
        )
    return getattr(importlib.import_module(info.module), info.class_name)(num_classes, **settings)


def __getattr__(attribute: str):
    if attribute == "Regime":
        return importlib.import_module("calibench.regimes.base").Regime
    for info in catalog().values():
        if info.class_name == attribute:
            return getattr(importlib.import_module(info.module), attribute)
    raise AttributeError(f"module 'calibench.regimes' has no attribute '{attribute}'")
