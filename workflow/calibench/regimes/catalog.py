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

REGIMES = Path(__file__).parent
NOT_REGIMES = {"__init__", "base", "betamixture", "catalog", "combined", "functional", "hosttable", "parts"}
OWN = {"name", "label"}  # what a class does not take over from its base: two regimes must be told apart


@dataclass(frozen=True)
class RegimeInfo:
    """One regime: its ``name`` in configs, ``label`` in tables, default ``settings`` and what it ``needs``.

    ``required``: settings without a default. ``inputs``: arrays of another run given once before training; ``other_runs``: {setting that names the
    other run: which of its files is wanted}. Both as in :class:`calibench.regimes.base.Regime`. ``combines``: it
    is made of others (:mod:`calibench.regimes.parts`), and they may need more.
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
    combines: bool = False


@dataclass(frozen=True)
class _Class:
    """A class as written: its literals and the keyword-only settings of its ``__init__``, bases included."""

    name: str
    literals: dict[str, Any]
    settings: dict[str, Any] | None = None  # None: neither it nor a base within the regimes has an __init__
    required: tuple[str, ...] = ()


def _literals(node: ast.ClassDef) -> dict[str, Any]:
    pairs = {}
    for item in node.body:
        target = item.targets[0] if isinstance(item, ast.Assign) else getattr(item, "target", None)
        if isinstance(target, ast.Name) and getattr(item, "value", None) is not None:
            try:
                pairs[target.id] = ast.literal_eval(item.value)
            except ValueError:
                continue  # a computed attribute is none of ours
    return pairs


def _settings(node: ast.ClassDef, path: Path) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """Settings with their defaults, and those without one."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            pairs = list(zip(item.args.kwonlyargs, item.args.kw_defaults, strict=True))
            try:
                defaults = {a.arg: ast.literal_eval(d) for a, d in pairs if d is not None}
            except ValueError as error:
                raise UserError(f"{path}: defaults of __init__ must be literals: {error}") from error
            return defaults, tuple(a.arg for a, d in pairs if d is None)
    return None, ()


def _imported(tree: ast.Module, folder: Path) -> dict[str, tuple[Path, str]]:
    """Name in this file → file and name of the regime's class that it stands for."""
    found = {}
    for item in tree.body:
        if isinstance(item, ast.ImportFrom) and (item.module or "").startswith("calibench.regimes."):
            path = folder / f"{item.module.rsplit('.', 1)[1]}.py"
            if path.stem not in NOT_REGIMES and path.is_file():
                found |= {alias.asname or alias.name: (path, alias.name) for alias in item.names}
    return found


def _classes(path: Path) -> dict[str, _Class]:
    """Classes of a regime file in their order, with what they inherit from this file and other regimes."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}") from error
    imported, classes = _imported(tree, path.parent), {}
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        bases = [b.id for b in node.bases if isinstance(b, ast.Name)]
        parents = [
            classes[b] if b in classes else _base(*imported[b]) for b in bases if b in {*classes, *imported}
        ]
        inherited = {k: v for p in reversed(parents) if p for k, v in p.literals.items() if k not in OWN}
        settings, required = _settings(node, path)
        base = next((p for p in parents if p and p.settings is not None), None)
        if settings is None and base:
            settings, required = base.settings, base.required
        classes[node.name] = _Class(node.name, inherited | _literals(node), settings, required)
    return classes


def _base(path: Path, name: str) -> _Class | None:
    return _classes(path).get(name)


def read_regime(path: Path) -> RegimeInfo:
    """Read one regime file.

    Raises:
        UserError: if it does not parse or has no class with a literal ``name``.
    """
    for found in _classes(path).values():
        literals = found.literals
        if isinstance(literals.get("name"), str):
            return RegimeInfo(
                name=literals["name"],
                label=literals.get("label", literals["name"]),
                source=literals.get("source", ""),
                needs=tuple(literals.get("needs", ())),
                file=path,
                class_name=found.name,
                settings=found.settings or {},
                inputs=tuple(literals.get("inputs", ())),
                matrix=bool(literals.get("shows_matrix", False)),
                other_runs=dict(literals.get("other_runs", {})),
                required=found.required,
                combines=bool(literals.get("combines", False)),
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
