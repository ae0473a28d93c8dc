"""What regimes exist and which settings they take, read from their sources without importing torch.

Planning a workflow, drawing a table or listing settings needs names and defaults only; importing torch for
that would cost seconds on every ``snakemake -n``.
"""

import ast
import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calibench.errors import UserError

REGIMES = Path(__file__).parent / "regimes"
NOT_REGIMES = {"__init__", "base", "functional"}


@dataclass(frozen=True)
class RegimeInfo:
    """One regime: its ``name`` in configs, ``label`` in tables, default ``settings`` and what it ``needs``.

    ``required``: settings without a default. ``inputs``: arrays of another run given once before training; ``other_runs``: {setting that names the
    other run: which of its files is wanted}. Both as in :class:`calibench.regimes.base.Regime`.
    """

    name: str
    label: str
    source: str
    needs: tuple[str, ...]
    file: Path
    class_name: str
    settings: dict[str, Any] = field(hash=False)
    inputs: tuple[str, ...] = ()
    matrix: bool = False
    other_runs: dict[str, str] = field(default_factory=dict, hash=False)
    required: tuple[str, ...] = ()


def _class_literals(node: ast.ClassDef) -> dict[str, Any]:
    pairs = {}
    for item in node.body:
        target = item.targets[0] if isinstance(item, ast.Assign) else getattr(item, "target", None)
        if isinstance(target, ast.Name) and getattr(item, "value", None) is not None:
            try:
                pairs[target.id] = ast.literal_eval(item.value)
            except ValueError:
                continue  # a computed attribute is none of ours
    return pairs


def _init_defaults(node: ast.ClassDef, path: Path) -> dict[str, Any]:
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            names = [a.arg for a in item.args.kwonlyargs]
            try:
                return {
                    n: ast.literal_eval(d)
                    for n, d in zip(names, item.args.kw_defaults, strict=True)
                    if d is not None
                }
            except ValueError as error:
                raise UserError(f"{path}: defaults of __init__ must be literals: {error}") from error
    return {}


def _required(node: ast.ClassDef) -> tuple[str, ...]:
    inits = [i for i in node.body if isinstance(i, ast.FunctionDef) and i.name == "__init__"]
    return tuple(
        a.arg
        for init in inits
        for a, d in zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True)
        if d is None
    )


def read_regime(path: Path) -> RegimeInfo:
    """Read one regime file.

    Raises:
        UserError: if it does not parse or has no class with a literal ``name``.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}") from error
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            literals = _class_literals(node)
            if isinstance(literals.get("name"), str):
                return RegimeInfo(
                    name=literals["name"],
                    label=literals.get("label", literals["name"]),
                    source=literals.get("source", ""),
                    needs=tuple(literals.get("needs", ())),
                    file=path,
                    class_name=node.name,
                    settings=_init_defaults(node, path),
                    inputs=tuple(literals.get("inputs", ())),
                    matrix=bool(literals.get("shows_matrix", False)),
                    other_runs=dict(literals.get("other_runs", {})),
                    required=_required(node),
                )
    raise UserError(f'{path}: no class with a literal `name = "..."`; see docs/adding-a-regime.md')


@functools.cache
def catalog(folder: Path = REGIMES) -> dict[str, RegimeInfo]:
    """All regimes by name, in the order of their file names."""
    infos = [read_regime(p) for p in sorted(folder.glob("*.py")) if p.stem not in NOT_REGIMES]
    return {info.name: info for info in infos}


def label(run: str) -> str:
    """Display label of a run: ``ols+alpha03`` → ``OLS + alpha03``; an unknown regime keeps its name."""
    regime, *variants = run.split("+")
    info = catalog().get(regime)
    return " + ".join([info.label if info else regime, *variants])
