"""Which regimes exist and which settings they take, read from their source files without importing torch.

Planning, tables and lists of settings need names and defaults only; importing torch would add seconds to every
``snakemake -n``.
"""

import ast
import builtins
import functools
import re
import types
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from calibench.errors import UserError
from calibench.extensions import brought, imported_module, source
from calibench.regimes.ranges import check_choice, check_range, check_steps, check_weights

REGIMES = Path(__file__).parent
NOT_REGIMES = {
    *("__init__", "base", "betamixture", "catalog", "combined", "contract"),
    *("functional", "hosttable", "parts", "ranges"),
}
# names that the checks in an __init__ may use besides the settings
CHECKING = {f.__name__: f for f in (check_choice, check_range, check_steps, check_weights, UserError)}
LITERALS = {"name", "label", "source", "needs", "inputs", "other_runs", "shows_matrix", "combines"}


@dataclass(frozen=True)
class RegimeInfo:
    """One regime as written in its file; a class inherits all but ``name`` and ``label`` from another regime.

    The fields up to ``combines`` are those of :class:`calibench.regimes.base.Regime`. ``settings`` are the
    keyword-only arguments of ``__init__`` with their defaults, ``required`` those without a default, ``checks`` the
    statements of ``__init__`` that need nothing but settings, such as ``check_range("ls: eps", eps, 0, 1)``, ``texts``
    the line of each under ``Args:``, which says what it is and where its default is from.
    """

    name: str = ""  # in configs
    label: str = ""  # in tables
    source: str = ""
    needs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    other_runs: dict[str, str] = field(default_factory=dict, hash=False)
    shows_matrix: bool = False
    combines: bool = False
    file: Path = REGIMES
    module: str = ""
    class_name: str = ""
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    required: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    texts: dict[str, str] = field(default_factory=dict, hash=False)

    def check(self, settings: dict[str, Any]) -> None:
        """Check settings as the class does, without importing it; UserError for the first wrong value."""
        for key, default in self.settings.items():
            if isinstance(default, bool) and not isinstance(settings[key], bool):
                raise UserError(f"{self.name}: {key} is {settings[key]!r}; it must be true or false")
        names = settings | {"self": types.SimpleNamespace(name=self.name)}
        for statement in self.checks:
            try:
                exec(statement, dict(CHECKING), names)
            except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
                raise UserError(f"{self.name}: the settings {settings} do not fit: {error}") from error


def _literals(node: ast.ClassDef) -> dict[str, Any]:
    """The class attributes named in LITERALS."""
    pairs = {}
    for item in node.body:
        target = item.targets[0] if isinstance(item, ast.Assign) else getattr(item, "target", None)
        value = getattr(item, "value", None)
        if isinstance(target, ast.Name) and target.id in LITERALS and value is not None:
            try:
                pairs[target.id] = ast.literal_eval(value)
            except ValueError:
                continue  # a computed attribute is none of ours
    return pairs


def _stored(statement: ast.stmt) -> set[str]:
    return {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _runs_alone(statement: ast.stmt, names: set[str]) -> bool:
    """Whether a statement may be a check and needs no other names than these, so that it runs without the class."""
    if not isinstance(statement, ast.Assign | ast.Expr | ast.If | ast.For):
        return False
    nodes = list(ast.walk(statement))
    free = {n.id for n in nodes if isinstance(n, ast.Name)} - _stored(statement)
    attributes = [n for n in nodes if isinstance(n, ast.Attribute)]
    of_self = {n.attr for n in attributes if isinstance(n.value, ast.Name) and n.value.id == "self"}
    writes = any(isinstance(n.ctx, ast.Store) for n in attributes)
    allowed = names | CHECKING.keys() | (set(dir(builtins)) - {"super"}) | {"self"}
    return free <= allowed and of_self <= {"name"} and not writes


def _checks(statements: Iterable[ast.stmt], names: Iterable[str]) -> tuple[str, ...]:
    """Those statements of an ``__init__`` that run without the class, given settings of these names."""
    known, found = set(names), []
    for statement in statements:
        if _runs_alone(statement, known):
            known |= _stored(statement)
            found.append(ast.unparse(statement))
    return tuple(found)


def _file(module: str, path: Path, importer: str) -> Path | None:
    """The file of an imported module that may contain a regime: one of ours, or of the package of the importer."""
    if module.startswith("calibench.regimes."):
        folder = path.parent if importer.startswith("calibench.") else REGIMES
        file = folder / f"{module.rsplit('.', 1)[1]}.py"
        return file if file.stem not in NOT_REGIMES and file.is_file() else None
    return source(module) if module.split(".")[0] == importer.split(".")[0] else None


def _imported(tree: ast.Module, path: Path, module: str) -> dict[str, tuple[Path, str, str]]:
    """{name in this file: (file, module, name there)} of classes that may be imported regimes."""
    found = {}
    for item in tree.body:
        if isinstance(item, ast.ImportFrom):
            name = imported_module(item, module, path)
            if file := _file(name, path, module):
                found |= {alias.asname or alias.name: (file, name, alias.name) for alias in item.names}
    return found


def _texts(docstring: str) -> dict[str, str]:
    """{argument: its text} of a docstring, as a reader of configs would say it."""
    found: dict[str, str] = {}
    for line in docstring.partition("Args:\n")[2].splitlines():
        if not line.startswith("    "):
            break
        line = line.replace("``None``", "null").replace("`", "")
        if match := re.match(r"    (\w+): (.*)", line):
            name, found[match[1]] = match.groups()
        elif found:
            found[name] += " " + line.strip()
    return found


def _class(node: ast.ClassDef, path: Path, module: str, base: RegimeInfo) -> RegimeInfo:
    """A class as written, with what it inherits; ``**settings`` of its ``__init__`` stands for those of the base."""
    info = replace(base, name="", label="", class_name=node.name, file=path, module=module)
    texts = base.texts | _texts(ast.get_docstring(node) or "")
    info = replace(info, texts=texts, **_literals(node))
    init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    if init is None:
        return info
    pairs = list(zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True))
    try:
        settings = {a.arg: ast.literal_eval(default) for a, default in pairs if default is not None}
    except ValueError as error:
        raise UserError(f"{path}: defaults of __init__ must be literals: {error}") from error
    required = tuple(a.arg for a, default in pairs if default is None)
    if init.args.kwarg:
        settings, required = base.settings | settings, (*base.required, *required)
    own = _checks(init.body, names := [*settings, *required])
    inherited = _checks(ast.parse("\n".join(base.checks)).body, names)
    return replace(info, settings=settings, required=required, checks=own + inherited)


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}") from error


def _classes(path: Path, module: str) -> dict[str, RegimeInfo]:
    """Classes of a regime file in their order, with what they inherit from this file and from other regimes."""
    tree = _parsed(path)
    imported, classes = _imported(tree, path, module), {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            base = RegimeInfo()
            for name in (b.id for b in node.bases if isinstance(b, ast.Name)):
                if name in classes:
                    base = classes[name]
                elif name in imported:
                    file, other, class_name = imported[name]
                    base = _classes(file, other).get(class_name, base)
            classes[node.name] = _class(node, path, module, base)
    return classes


def read_regime(path: Path, module: str = "", class_name: str = "") -> RegimeInfo:
    """Read one regime file.

    Args:
        path: the file.
        module: its name; by default that of one of ours.
        class_name: the class of the regime, which may be imported there; by default the first one with a ``name``.

    Raises:
        UserError: the file does not parse, or has no such class with a literal ``name``.
    """
    module = module or f"calibench.regimes.{path.stem}"
    there = _classes(path, module)
    if class_name and class_name not in there:
        origin = _imported(_parsed(path), path, module).get(class_name)
        if origin is None:
            raise UserError(f"{path}: no class {class_name}; name the module that defines it")
        return read_regime(*origin)
    for info in [there[class_name]] if class_name else there.values():
        if info.name:
            return replace(info, label=info.label or info.name)
    raise UserError(f'{path}: no class with a literal `name = "..."`; see docs/adding-a-regime.md')


@functools.cache
def catalog(folder: Path = REGIMES) -> dict[str, RegimeInfo]:
    """All regimes by name: ours in the order of their file names, then those of other packages.

    UserError if one cannot be read, or two have the same name.
    """
    infos = [read_regime(p) for p in sorted(folder.glob("*.py")) if p.stem not in NOT_REGIMES]
    found = {info.name: info for info in infos}
    for name, item in brought("regimes", found).items():
        info = read_regime(item.source(), item.module, item.attribute)
        if info.name != name:
            raise UserError(
                f"{item.package}: the entry point '{name}' is a regime with the name '{info.name}'; make them equal"
            )
        found[name] = info
    return found


def label(run: str) -> str:
    """Display label of a run: ``ols+alpha03`` → ``OLS + alpha03``; an unknown regime keeps its name."""
    regime, *variants = run.split("+")
    info = catalog().get(regime)
    return " + ".join([info.label if info else regime, *variants])
