"""Regimes, measures, calibrators and backbones of other packages, found by their entry points.

A package declares them in its ``pyproject.toml``, in a group with the name of our room::

    [project.entry-points."calibench.regimes"]
    poly1 = "mypackage.poly1:Poly1"

Names and places come from the metadata of installed packages. Nothing is imported until it is used: planning must not
import torch, and attributes of a class or module are read from its source file.
"""

import ast
import functools
import importlib
import importlib.util
from collections.abc import Container
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from calibench.errors import UserError

ROOMS = ("regimes", "metrics", "calibrators", "backbones")


@dataclass(frozen=True)
class Brought:
    """One object of another package; calling it imports its module and calls the object.

    ``name`` is its name in a config or of a measure, ``package`` the name and version of the package.
    """

    name: str
    module: str
    attribute: str
    package: str

    def load(self) -> Any:
        """The object; UserError if its module cannot be imported or does not have it."""
        try:
            return functools.reduce(getattr, self.attribute.split("."), importlib.import_module(self.module))
        except (ImportError, AttributeError) as error:
            raise UserError(
                f"'{self.name}' of the package {self.package} is {self.module}:{self.attribute}, which cannot be loaded "
                f"({error}); repair or uninstall that package"
            ) from error

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        return self.load()(*arguments, **settings)

    def source(self) -> Path:
        """The file of its module; UserError if there is none."""
        path = source(self.module)
        if path is None:
            raise UserError(
                f"'{self.name}' of the package {self.package} is in {self.module}, which has no Python file; repair or "
                "uninstall that package"
            )
        return path


@functools.cache
def _found(room: str) -> dict[str, Brought]:
    found: dict[str, Brought] = {}
    for entry in sorted(entry_points(group=f"calibench.{room}"), key=lambda e: (e.name, e.value)):
        package = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "a package"
        if not entry.attr:
            raise UserError(
                f"the entry point '{entry.name}' of {package} is '{entry.value}'; it must have the form module:name"
            )
        if entry.name in found:
            raise UserError(
                f"{found[entry.name].package} and {package} both have '{entry.name}' for calibench.{room}; uninstall one"
            )
        found[entry.name] = Brought(entry.name, entry.module, entry.attr, package)
    return found


def brought(room: str, own: Container[str] = ()) -> dict[str, Brought]:
    """Objects of other packages for a room of :data:`ROOMS`, by name; ``own`` are the names that we use already.

    UserError if two objects have the same name, or an entry point does not name an object.
    """
    found = _found(room)
    for name, item in found.items():
        if name in own:
            raise UserError(
                f"'{name}' of the package {item.package} exists in calibench.{room} already; uninstall the package or "
                "rename its entry point"
            )
    return found


def packages() -> list[str]:
    """Name and version of every package with such entry points."""
    return sorted({item.package for room in ROOMS for item in _found(room).values()})


def source(module: str) -> Path | None:
    """The Python file of a module, without importing it or the packages that contain it; None if there is none."""
    top, *below = module.split(".")
    spec, name = importlib.util.find_spec(top), top
    for part in below:
        if spec is None or spec.submodule_search_locations is None:
            return None
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    found = Path(spec.origin) if spec and spec.origin else None
    return found if found and found.suffix == ".py" else None


def imported_module(node: ast.ImportFrom, module: str, path: Path) -> str:
    """The full name of the module in ``from … import``, also for a relative import."""
    if not node.level:
        return node.module or ""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return importlib.util.resolve_name("." * node.level + (node.module or ""), package)


def literal(module: str, name: str) -> Any:
    """The literal value of a global name of a module, read without importing it; None if there is none."""
    path = source(module)
    for node in ast.parse(path.read_text(encoding="utf-8")).body if path else []:
        if isinstance(node, ast.Assign) and [getattr(t, "id", None) for t in node.targets] == [name]:
            return ast.literal_eval(node.value)
    return None
