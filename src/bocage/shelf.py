"""A shelf holds the named things of one kind; a name that is not on it gets one helpful error."""

import difflib
import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from bocage.errors import UnknownNameError

T = TypeVar("T")


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """Known words close enough to `word` to be meant by it, best first.

    >>> nearest("ndiv", ["ndvi", "brightness"])
    ['ndvi']
    """
    return difflib.get_close_matches(word, sorted(known), n=2, cutoff=0.5)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"``, or nothing where no known word is close.

    >>> did_you_mean("ndiv", ["ndvi", "brightness"])
    " Did you mean 'ndvi'?"
    """
    close = nearest(word, known)
    return f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""


@dataclass(frozen=True)
class Shelf(Generic[T]):
    """The named things of one kind.

    Parameters
    ----------
    kind, kinds
        The kind's name, singular and plural, as messages say it.
    things
        A literal dict: name to thing. Code outside the package is reached as ``"its.module:name"``, or
        ``"its.module"`` with a colon at the end where the module itself is the thing.
    """

    kind: str
    kinds: str
    things: Mapping[str, T]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.things))

    def get(self, name: str) -> T:
        """Return the thing called `name`.

        Raises
        ------
        UnknownNameError
            The name is not on the shelf, or what it points at cannot be imported.
        """
        if name in self.things:
            return self.things[name]
        if ":" in name:
            return cast(T, self._outside(name))
        raise UnknownNameError(
            f"Unknown {self.kind} '{name}'.{did_you_mean(name, self.things)} Known {self.kinds}: {', '.join(self)}; "
            "code of your own is named 'its.module:name'."
        )

    def _outside(self, name: str) -> Any:
        module_name, _, attribute = name.partition(":")
        if str(Path.cwd()) not in sys.path:  # a user's own module lies beside the recipe, as for ``python -m``
            sys.path.append(str(Path.cwd()))
        try:
            thing: Any = importlib.import_module(module_name)
        except ImportError as error:
            raise UnknownNameError(f"The {self.kind} '{name}' cannot be imported: {error}.") from error
        if not attribute:
            return thing
        if not hasattr(thing, attribute):
            raise UnknownNameError(f"The {self.kind} '{name}': module {module_name} has no '{attribute}'.")
        return getattr(thing, attribute)
