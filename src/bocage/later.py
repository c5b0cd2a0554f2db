"""Rooms and libraries that are imported when they are first used, so that a command starts without those it does not need.

PyTorch takes more than a second to import, and most commands do not compute with it.
"""

import ast
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any


class Room(ModuleType):
    """Package whose names are imported from its modules when they are first used.

    The names are those that the package imports under ``if TYPE_CHECKING:``, so that type checkers and linters read the same
    statements. A name of the package has precedence over a module of the same name.
    """

    __offered__: dict[str, str]
    """Name → module that defines it."""

    def __getattr__(self, name: str) -> Any:
        """Import a name."""
        where = self.__dict__.get("__offered__", {}).get(name)
        if where is None:
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        module = importlib.import_module(where)
        found = module if where == f"{self.__name__}.{name}" and not hasattr(module, name) else getattr(module, name)
        super().__setattr__(name, found)
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; Python sets an imported module as attribute of its package."""
        if isinstance(value, ModuleType) and name in self.__dict__.get("__offered__", {}):
            value = getattr(value, name, value)
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.__offered__})


def later(package: str) -> None:
    """Make a package that is being imported a :class:`Room`."""
    module = sys.modules[package]
    assert module.__spec__ is not None
    source = module.__spec__.loader.get_source(package)  # type: ignore[union-attr]
    module.__dict__["__offered__"] = dict(_names(ast.parse(source)))
    module.__class__ = Room


def _names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the names, and their modules, that a package imports for type checkers."""
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for line in node.body:
                assert isinstance(line, ast.ImportFrom)
                yield from ((alias.asname or alias.name, str(line.module)) for alias in line.names)


class Library(ModuleType):
    """Library that is imported when one of its names is first used."""

    def __getattr__(self, name: str) -> Any:
        """Return a name of the library."""
        return getattr(importlib.import_module(self.__name__), name)
