"""Registries of named objects (sensors, models, indices, …), called shelves, and suggestions for misspelt names."""

import difflib
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from bocage.errors import UnknownNameError

T = TypeVar("T")


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
    check: Callable[[Any], str] = lambda thing: ""
    """Function that returns why an object from outside the package is not of this kind; empty if it is."""

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
            outside = self._outside(name)
            if why := self.check(outside):
                raise UnknownNameError(f"'{name}' is no {self.kind}: {why}.")
            return cast(T, outside)
        raise UnknownNameError(
            f"Unknown {self.kind} '{name}'.{did_you_mean(name, self.things)} Known {self.kinds}: {', '.join(self)}; "
            "your own code is named 'its.module:name'."
        )

    def _outside(self, name: str) -> Any:
        module_name, _, attribute = name.partition(":")
        if not all(part.isidentifier() for part in module_name.split(".")) or not (attribute or "x").isidentifier():
            raise UnknownNameError(f"The {self.kind} {name[:60]!r} is not written 'its.module:name'.")
        if str(Path.cwd()) not in sys.path:  # like ``python -m``: the module is usually in the working directory
            sys.path.append(str(Path.cwd()))
        try:
            module: Any = importlib.import_module(module_name)
        except (Exception, SystemExit) as error:  # a module may raise anything while it is imported
            why = " ".join(f"{error}".split()) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
            raise UnknownNameError(f"The {self.kind} '{name}' cannot be imported: {why}.") from error
        if not attribute:
            return module
        if not hasattr(module, attribute):
            raise UnknownNameError(f"The {self.kind} '{name}': module {module_name} has no '{attribute}'.")
        return getattr(module, attribute)
