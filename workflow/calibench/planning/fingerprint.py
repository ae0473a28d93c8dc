"""A fingerprint of the code behind the result of a stage: all it imports, without comments, docstrings and errors.

It is part of the settings of every rule, so that a change in the file of one regime trains that regime again, and a
new wording trains nothing again, also in a fresh clone (file times do not matter).
"""

import ast
import functools
import hashlib
from pathlib import Path

import calibench
from calibench.errors import UserError
from calibench.extensions import brought, imported_module, source

ROOT = Path(calibench.__file__).parent.parent
# Modules that change no number: errors, writing of files, completing settings (the rules pass complete ones), the
# names of regimes, and equal copies of the images.
PLUMBING = {
    "calibench",
    "calibench.cli",
    "calibench.errors",
    "calibench.extensions",
    "calibench.files",
    "calibench.planning.configuration",
}
PLUMBING |= {"calibench.regimes", "calibench.regimes.catalog", "calibench.data.staging"}
PLUMBING.add("calibench.data.overview")  # only for people


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


def _without_texts(tree: ast.Module) -> ast.Module:
    """The tree without docstrings and without the sentences of UserErrors."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "UserError":
            node.args = []
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
    return imports, ast.dump(_without_texts(tree))


@functools.cache
def _data_files(folder: Path) -> bytes:
    """Hash of the other files in the folder of a module: a style sheet, printed numbers."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.digest()


@functools.cache
def of_modules(*modules: str) -> str:
    """Hash of these modules, of all calibench modules that they import, directly or not, and of files next to them.

    Imports inside functions count. A module that is imported by a computed name must be among ``modules``. A module of
    another package counts with all that it imports of that package, without other files.
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
