"""What regimes exist and which settings they take, read from their sources without importing torch.

Planning a workflow, drawing a table or listing settings needs names and defaults only; importing torch for
that would cost seconds on every ``snakemake -n``.
"""

import ast
import builtins
import functools
import types
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calibench.errors import UserError
from calibench.extensions import brought, imported_module, source
from calibench.regimes.ranges import check_choice, check_range, check_steps, check_weights

REGIMES = Path(__file__).parent
NOT_REGIMES = {
    "__init__",
    "base",
    "betamixture",
    "catalog",
    "combined",
    "contract",
    "functional",
    "hosttable",
    "parts",
    "ranges",
}
# what the statements that check settings may use beside the settings
CHECKING = {
    "check_choice": check_choice,
    "check_range": check_range,
    "check_steps": check_steps,
    "check_weights": check_weights,
    "UserError": UserError,
}
OWN = {"name", "label"}  # what a class does not take over from its base: two regimes must be told apart


@dataclass(frozen=True)
class RegimeInfo:
    """One regime: its ``name`` in configs, ``label`` in tables, default ``settings`` and what it ``needs``.

    ``required``: settings without a default. ``inputs``: arrays of another run given once before training; ``other_runs``: {setting that names the
    other run: which of its files is wanted}. Both as in :class:`calibench.regimes.base.Regime`. ``combines``: it
    is made of others (:mod:`calibench.regimes.parts`), and they may need more. ``module``: where its class is.
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
    checks: tuple[str, ...] = ()
    module: str = ""

    def check(self, settings: dict[str, Any]) -> None:
        """Check settings as the class would, without importing it: by those statements of its ``__init__`` that need
        nothing but settings, such as ``check_range("ls: eps", eps, 0, 1)``.

        Raises:
            UserError: for the first value that cannot be right.
        """
        for key, default in self.settings.items():
            if isinstance(default, bool) and not isinstance(settings[key], bool):
                raise UserError(f"{self.name}: {key} is {settings[key]!r}; it must be true or false")
        names = settings | {"self": types.SimpleNamespace(name=self.name)}
        for statement in self.checks:
            try:
                exec(statement, dict(CHECKING), names)
            except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
                raise UserError(f"{self.name}: the settings {settings} do not fit: {error}") from error


@dataclass(frozen=True)
class _Class:
    """A class as written: its literals and the keyword-only settings of its ``__init__``, bases included."""

    name: str
    literals: dict[str, Any]
    settings: dict[str, Any] | None = None  # None: neither it nor a base within the regimes has an __init__
    required: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()


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


def _stored(statement: ast.stmt) -> set[str]:
    return {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _runs_alone(statement: ast.stmt, names: set[str]) -> bool:
    """Whether a statement needs these names only, and may check something: then it can run without the class."""
    if not isinstance(statement, ast.Assign | ast.Expr | ast.If | ast.For):
        return False
    nodes = list(ast.walk(statement))
    free = {n.id for n in nodes if isinstance(n, ast.Name)} - _stored(statement)
    attributes = [n for n in nodes if isinstance(n, ast.Attribute)]
    of_self = {n.attr for n in attributes if isinstance(n.value, ast.Name) and n.value.id == "self"}
    writes = any(isinstance(n.ctx, ast.Store) for n in attributes)
    allowed = names | CHECKING.keys() | (set(dir(builtins)) - {"super"}) | {"self"}
    return free <= allowed and of_self <= {"name"} and not writes


def _alone(statements: Iterable[ast.stmt], names: Iterable[str]) -> tuple[str, ...]:
    """Those statements that run with settings of these names and without the class."""
    known, found = set(names), []
    for statement in statements:
        if _runs_alone(statement, known):
            known |= _stored(statement)
            found.append(ast.unparse(statement))
    return tuple(found)


def _checks(node: ast.ClassDef, names: Iterable[str]) -> tuple[str, ...]:
    init = next(n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    return _alone(init.body, names)


def _file(module: str, path: Path, importer: str) -> Path | None:
    """The file of a module that a regime's file imports, if it may hold a regime: one of ours or of its own package."""
    if module.startswith("calibench.regimes."):
        folder = path.parent if importer.startswith("calibench.") else REGIMES
        file = folder / f"{module.rsplit('.', 1)[1]}.py"
        return file if file.stem not in NOT_REGIMES and file.is_file() else None
    return source(module) if module.split(".")[0] == importer.split(".")[0] else None


def _imported(tree: ast.Module, path: Path, module: str) -> dict[str, tuple[Path, str, str]]:
    """Name in this file → file, module and name of the regime's class that it stands for."""
    found = {}
    for item in tree.body:
        if isinstance(item, ast.ImportFrom):
            name = imported_module(item, module, path)
            if file := _file(name, path, module):
                found |= {alias.asname or alias.name: (file, name, alias.name) for alias in item.names}
    return found


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}") from error


def _classes(path: Path, module: str) -> dict[str, _Class]:
    """Classes of a regime file in their order, with what they inherit from this file and other regimes."""
    tree = _parsed(path)
    imported, classes = _imported(tree, path, module), {}
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
        checks = () if settings is None else _checks(node, [*settings, *required])
        if base and settings is None:
            settings, required, checks = base.settings, base.required, base.checks
        elif base:  # it hands its settings on to the base, under the names they have there
            checks += _alone(ast.parse("\n".join(base.checks)).body, [*settings, *required])
        classes[node.name] = _Class(node.name, inherited | _literals(node), settings, required, checks)
    return classes


def _base(path: Path, module: str, name: str) -> _Class | None:
    return _classes(path, module).get(name)


def read_regime(path: Path, module: str = "", class_name: str = "") -> RegimeInfo:
    """Read one regime file.

    Args:
        path: the file.
        module: its name; that of one of ours by default.
        class_name: the class of the regime; the first one with a ``name`` by default. It may be imported there.

    Raises:
        UserError: if it does not parse or has no such class with a literal ``name``.
    """
    module = module or f"calibench.regimes.{path.stem}"
    there = _classes(path, module)
    if class_name and class_name not in there:
        origin = _imported(_parsed(path), path, module).get(class_name)
        if origin is None:
            raise UserError(f"{path}: no class {class_name}; name the module in which it is written")
        return read_regime(*origin)
    for found in [there[class_name]] if class_name else there.values():
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
                checks=found.checks,
                combines=bool(literals.get("combines", False)),
                module=module,
            )
    raise UserError(f'{path}: no class with a literal `name = "..."`; see docs/adding-a-regime.md')


@functools.cache
def catalog(folder: Path = REGIMES) -> dict[str, RegimeInfo]:
    """All regimes by name: ours in the order of their file names, then those that other packages bring.

    Raises:
        UserError: if one cannot be read, or two have one name.
    """
    infos = [read_regime(p) for p in sorted(folder.glob("*.py")) if p.stem not in NOT_REGIMES]
    found = {info.name: info for info in infos}
    for name, item in brought("regimes", found).items():
        info = read_regime(item.source(), item.module, item.attribute)
        if info.name != name:
            raise UserError(
                f"{item.package}: the entry point '{name}' is a regime whose name is '{info.name}'; make them equal"
            )
        found[name] = info
    return found


def label(run: str) -> str:
    """Display label of a run: ``ols+alpha03`` → ``OLS + alpha03``; an unknown regime keeps its name."""
    regime, *variants = run.split("+")
    info = catalog().get(regime)
    return " + ".join([info.label if info else regime, *variants])
