"""Check that a regime of your own keeps the contract of regimes, and print its row for a table."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from calibench import cli
from calibench.errors import UserError
from calibench.extensions import Brought, source
from calibench.regimes import contract
from calibench.regimes.base import Regime
from calibench.regimes.catalog import RegimeInfo, read_regime

CLASS = ("name", "label", "source", "needs", "inputs", "other_runs")


def regime_named(text: str) -> tuple[RegimeInfo, type[Regime]]:
    """What the catalog reads of ``module:Class``, and the class; UserError if it does not exist or is not a regime."""
    module, colon, name = text.partition(":")
    path = source(module) if colon and name else None
    if path is None:
        raise UserError(f"'{text}' is not module:Class with a module that Python finds from here")
    info = read_regime(path, module, name)
    found = Brought(info.name, module, name, str(path)).load()
    if not (isinstance(found, type) and issubclass(found, Regime)):
        raise UserError(f"{text} is not a class derived from calibench.regimes.base.Regime")
    return info, found


def check_literals(info: RegimeInfo, found: type[Regime]) -> None:
    """Raise UserError if an attribute of the class differs from what planning reads in the file."""
    for key in CLASS:
        if getattr(info, key) != getattr(found, key, None):
            raise UserError(
                f"{info.name}: {key} must be set in the class, as a literal: planning reads it without importing"
            )
    if not info.source:
        raise UserError(f"{info.name}: source is empty; write where the formula is from, or 'ours'")
    wrong = [key for key in info.other_runs if "/" not in str(info.settings.get(key, "a/b"))]
    if wrong:
        raise UserError(f"{info.name}: the default of {wrong[0]} does not have the form backbone/run")


def row(info: RegimeInfo, found: type[Regime]) -> str:
    """Its line in a Markdown table of regimes: name, first line of the docstring, settings, needs, source."""
    settings = [f"`{key}={value!r}`" for key, value in info.settings.items()]
    settings += [f"`{key}` (no default)" for key in info.required]
    text = (found.__doc__ or "").strip().partition("\n")[0].replace("|", "\\|")
    needs = ", ".join([*info.needs, *info.inputs])
    return (
        f"| `{info.name}` | {text or '–'} | {', '.join(settings) or '–'} | {needs or '–'} | {info.source} |"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    parser = cli.parser(__name__, __doc__)
    parser.add_argument("regime", help="mymodule:MyRegime, as in an entry point")
    parser.add_argument("--settings", default="{}", help="JSON: settings without a default")
    options = parser.parse_args(argv)
    sys.path.insert(0, str(Path.cwd()))
    info, found = regime_named(options.regime)
    check_literals(info, found)
    given: dict[str, Any] = cli.json_object(options.settings)
    if missing := [key for key in info.required if key not in given]:
        raise UserError(f"{info.name}: {missing[0]} has no default; set it with --settings")
    info.check(info.settings | given)
    for promise in contract.PROMISES:
        contract.hold(promise, info.name, lambda classes: found(classes, **given))
        print(f"kept: {contract.sentence(promise)}")
    print("\n| regime | loss | settings | needs | source |\n|---|---|---|---|---|")
    print(row(info, found))
