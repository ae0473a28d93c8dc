"""A fingerprint of the code that decides a stage's result: what it imports, comments and docstrings left out.

It stands in the settings of every rule, so that a change of one regime's file retrains that regime and a comment
retrains nothing, in a fresh clone as well (no file times).
"""

import ast
import functools
import hashlib
from pathlib import Path

import calibench
from calibench.errors import UserError
from calibench.extensions import brought, imported_module, source

ROOT = Path(calibench.__file__).parent.parent
# What changes no number: how errors are told and files written, how settings are completed before the rule hands
# them over, the names of regimes, and an equal copy of the same images.
PLUMBING = {
    "calibench",
    "calibench.cli",
    "calibench.errors",
    "calibench.extensions",
    "calibench.files",
    "calibench.planning.configuration",
}
PLUMBING |= {"calibench.regimes", "calibench.regimes.catalog", "calibench.data.staging"}
PLUMBING.add("calibench.data.overview")  # shown to people, read by no stage


# Rooms that use all that packages bring them; of regimes and backbones a run uses those that it names.
OPEN = {"calibench.metrics": "metrics", "calibench.calibrators": "calibrators"}


def _file(module: str) -> Path | None:
    if module.split(".")[0] != "calibench":
        return source(module)
    path = ROOT / Path(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def _imports(tree: ast.Module, module: str, path: Path) -> set[str]:
    """Modules of calibench, and of its own package, that a module imports (also inside functions)."""
    found = {item.module for item in brought(OPEN[module]).values()} if module in OPEN else set()
    own = {"calibench", module.split(".")[0], *(name.split(".")[0] for name in found)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            name = imported_module(node, module, path)
            found |= {name} | {f"{name}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] in own and _file(name)}


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


@functools.cache
def _read(module: str) -> tuple[frozenset[str], str]:
    path = _file(module)
    if path is None:
        raise UserError(f"there is no module {module} under {ROOT}")
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}") from error
    imports = frozenset(_imports(tree, module, path))
    return imports, ast.dump(_without_docstrings(tree))


@functools.cache
def _data_files(folder: Path) -> bytes:
    """Hash of what lies beside a module and is no code: a style sheet, printed numbers."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.digest()


@functools.cache
def of_modules(*modules: str) -> str:
    """Hash of the given modules, of all calibench modules they import, directly or not, and of the data beside them.

    A module of another package counts with what it imports of that package, without data beside it.

    An import inside a function counts; one by a name that is made at run time does not: such a module is given.
    """
    todo, seen = list(modules), set()
    while todo:
        module = todo.pop()
        if module not in seen and module not in PLUMBING:
            seen.add(module)
            todo += _read(module)[0]
    digest = hashlib.sha256()
    for module in sorted(seen):
        digest.update(f"{module}\0{_read(module)[1]}\0".encode())
    for folder in sorted({_file(module).parent for module in seen if module.split(".")[0] == "calibench"}):
        digest.update(_data_files(folder))
    return digest.hexdigest()[:12]
