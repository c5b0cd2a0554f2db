"""Registries of named objects (sensors, models, indices, …), called shelves, and suggestions for misspelt names.

Names of code outside of Bocage (``"its.module:name"``) are imported from the installed packages and from the folders in
``PYTHONPATH``, not from the working directory. Names in a recipe are the user's own. Names in a file that another person may
have written, such as a model folder, are imported only if the user named their module (:func:`allow`).
"""

import difflib
import importlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from bocage.errors import UnknownNameError

T = TypeVar("T")

_ALLOWED: set[str] = set()
"""Modules outside of Bocage that the user named in this process, in a recipe or with ``--allow``."""
_RESTRICTED: ContextVar[str] = ContextVar("_RESTRICTED", default="")
"""File whose names are being read; empty where the names are the user's own."""


def allow(modules: Iterable[str]) -> None:
    """Allow names of these modules, and of their submodules, in model folders."""
    _ALLOWED.update(modules)


@contextmanager
def names_from(file: Path) -> Iterator[None]:
    """Within the block, names outside of the shelves are refused unless the user named their module."""
    token = _RESTRICTED.set(str(file))
    try:
        yield
    finally:
        _RESTRICTED.reset(token)


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """Return at most two known words similar to `word`, best match first.

    >>> nearest("ndiv", ["ndvi", "brightness"])
    ['ndvi']
    """
    return difflib.get_close_matches(word, sorted(known), n=2, cutoff=0.5)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"``, or an empty string if no known word is similar.

    >>> did_you_mean("ndiv", ["ndvi", "brightness"])
    " Did you mean 'ndvi'?"
    """
    close = nearest(word, known)
    return f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""


@dataclass(frozen=True)
class Shelf(Generic[T]):
    """A registry of named objects of one kind.

    Parameters
    ----------
    kind, kinds
        Name of the kind in messages, singular and plural.
    things
        Name to object, a literal dict. Objects outside the package are named ``"their.module:name"``. If the module itself is
        the object, its name ends with a colon: ``"their.module:"``.
    """

    kind: str
    kinds: str
    things: Mapping[str, T]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.things))

    def get(self, name: str) -> T:
        """Return the object called `name`.

        Raises
        ------
        UnknownNameError
            The name is not on the shelf, or the object that it names cannot be imported.
        """
        if name in self.things:
            return self.things[name]
        if ":" in name:
            return cast(T, self._outside(name))
        raise UnknownNameError(
            f"Unknown {self.kind} '{name}'.{did_you_mean(name, self.things)} Known {self.kinds}: {', '.join(self)}; "
            "your own code is named 'its.module:name'."
        )

    def _outside(self, name: str) -> Any:
        module, _, attribute = name.partition(":")
        file = _RESTRICTED.get()
        if file and not any(f"{module}.".startswith(f"{allowed}.") for allowed in _ALLOWED):
            raise UnknownNameError(
                f"{file} names the {self.kind} '{name}', which is not part of Bocage. Its code runs only with your permission: "
                f'give --allow {module}, or set [plugins] allow = ["{module}"] in the recipe, if you trust the module.'
            )
        found = outside(module, f"The {self.kind} '{name}'")
        allow([] if file else [module])
        if not attribute:
            return found
        if not hasattr(found, attribute):
            raise UnknownNameError(f"The {self.kind} '{name}': module {module} has no '{attribute}'.")
        return getattr(found, attribute)


def outside(module: str, subject: str) -> Any:
    """Import a module of installed packages or of ``PYTHONPATH``; `subject` opens the message of an error.

    Raises
    ------
    UnknownNameError
        The module cannot be imported, or is only in the working directory.
    """
    paths, hidden = list(sys.path), _working_directory()
    sys.path[:] = [place for k, place in enumerate(paths) if k not in hidden]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        top = Path(module.partition(".")[0])
        here = top.is_dir() or top.with_suffix(".py").exists()
        hint = (
            " Modules in the working directory are not imported; set PYTHONPATH=. or install the module."
            if here
            else ""
        )
        raise UnknownNameError(f"{subject} cannot be imported: {error}.{hint}") from error
    finally:
        sys.path[:] = paths


def _working_directory() -> set[int]:
    """Return the positions in ``sys.path`` of the working directory that Python added by itself.

    The entries before the standard library are the folder of the program (the working directory in an interactive session)
    and those of ``PYTHONPATH``; an empty entry of ``PYTHONPATH`` is the working directory, too.
    """
    named = {Path(entry).resolve() for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry}
    if Path.cwd() in named:
        return set()
    standard = sysconfig.get_path("stdlib")
    early = sys.path.index(standard) if standard in sys.path else len(sys.path)
    return {k for k, entry in enumerate(sys.path[:early]) if Path(entry).resolve() == Path.cwd()}
