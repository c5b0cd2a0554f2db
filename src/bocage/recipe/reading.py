"""Reading of single sections of a recipe into their dataclasses. All problems are collected."""

import dataclasses
import math
import os
import re
import typing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bocage.errors import BocageError, Problem
from bocage.recipe.draft import UNKNOWN
from bocage.redaction import learn
from bocage.samples.postgis import POSTGIS
from bocage.shelf import Shelf, did_you_mean

EXPECTED = {
    "tuple_type": "a list in brackets is expected, for example [4, 5]",
    "date_from_datetime_inexact": "a day is expected, without a time, for example 2022-05-31",
}
"""Type of an error of pydantic → message in the words of a recipe."""


@lru_cache(256)
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    """Return the validator of a dataclass; it takes milliseconds to make, and a recipe has tens of sections."""
    return TypeAdapter(kind)


@dataclass
class Reading:
    """State of the parser: the folder for relative paths, and the problems found."""

    folder: Path
    problems: list[Problem] = field(default_factory=list)

    def add(self, key: str, message: object) -> None:
        """Add a problem, once: several parts of a recipe can have it."""
        if (problem := Problem(key, str(message))) not in self.problems:
            self.problems.append(problem)

    def unknown(self, key: str, known: list[str]) -> None:
        """Add the problem of an unknown key."""
        last = key.rpartition(".")[2]
        self.add(key, f"unknown key.{did_you_mean(last, known)} Known: {', '.join(sorted(known))}")

    def section(self, kind: type[Any], raw: Any, key: str) -> Any:
        """Validate one table and return its dataclass; None if the table has problems."""
        if not isinstance(raw, dict):
            self.add(key, f"a table [{key}] is expected; found {raw!r}")
            return None
        cleaned = self._clean(kind, raw, key)
        try:
            return _adapter(typing.cast("Any", kind)).validate_python(cleaned)
        except ValidationError as error:
            for detail in error.errors():
                place = ".".join([key, *(str(part) for part in detail["loc"] if not _is_branch(part))])
                self.add(place, EXPECTED.get(detail["type"], detail["msg"].removeprefix("Value error, ")))
        except BocageError as error:
            self.add(key, f"{error}")
        return None

    def _clean(self, kind: Any, raw: dict[str, Any], key: str) -> dict[str, Any]:
        """Report unknown keys and resolve relative paths, in nested tables too."""
        hints = typing.get_type_hints(kind)
        cleaned = {}
        for name, value in raw.items():
            if name not in hints:
                self.unknown(f"{key}.{name}", list(hints))
                continue
            if value == UNKNOWN and str not in (hints[name], *typing.get_args(hints[name])):
                self.add(
                    f"{key}.{name}",
                    f'{_sought(hints[name])} in place of "{UNKNOWN}"; the comment on its line lists what was found',
                )
                continue
            if isinstance(value, bool) and not _takes_truth(hints[name]):
                self.add(f"{key}.{name}", f"{_sought(hints[name])} in place of {str(value).lower()}")
                continue
            cleaned[name] = self._value(hints[name], value, f"{key}.{name}")
        return cleaned

    def _value(self, hint: Any, value: Any, key: str) -> Any:
        options = [hint, *typing.get_args(hint)]
        inner = next((o for o in options if dataclasses.is_dataclass(o)), None)
        if inner is not None and isinstance(value, dict):
            return self._clean(inner, value, key)
        if inner is not None and isinstance(value, list):
            return [self._clean(inner, v, f"{key}.{i}") if isinstance(v, dict) else v for i, v in enumerate(value)]
        if any(typing.get_origin(o) is typing.Literal and value in typing.get_args(o) for o in options):
            return value  # a name that stands in place of a path
        if Path in options and isinstance(value, str) and not POSTGIS.match(value):
            if value and not value.isprintable():
                self.add(key, f"the path {value[:60]!r} has a control character; write a backslash as '/' or '\\\\'")
            return self.folder / value
        if Path in options and isinstance(value, dict):
            return {k: self.folder / v if isinstance(v, str) else v for k, v in value.items()}
        return value

    def names(self, shelf: Shelf[Any], key: str, names: tuple[str, ...]) -> None:
        """Report names that are not on the shelf, before a stage needs them."""
        for name in names:
            try:
                shelf.get(name)
            except BocageError as error:
                self.add(key, f"{error}")

    def expanded(self, value: Any, key: str) -> Any:
        """Replace ``${VAR}`` by the environment variable; remember secrets for their redaction; report unusable values."""
        if isinstance(value, dict):
            return {k: self.expanded(v, f"{key}.{k}" if key else k) for k, v in value.items()}
        if isinstance(value, list):
            return [self.expanded(v, f"{key}.{i}") for i, v in enumerate(value)]
        if isinstance(value, float) and math.isinf(value):
            self.add(key, "the number is infinite")
        if isinstance(value, str) and "\0" in value:
            self.add(key, "the text has a NUL character")
        if not isinstance(value, str):
            return value
        learn(key.rpartition(".")[2], value, os.environ)
        return re.sub(r"\$\{(\w+)\}", lambda m: self._variable(m, key), value)

    def _variable(self, match: re.Match[str], key: str) -> str:
        if match[1] not in os.environ:
            self.add(key, f"the environment variable {match[1]} is not set; set it with export {match[1]}=...")
        return os.environ.get(match[1], match[0])


def _sought(hint: Any) -> str:
    """Return what a setting expects: a list or a single value."""
    listed = any(typing.get_origin(option) is tuple for option in (hint, *typing.get_args(hint)))
    return "write the values, for example [4, 5]," if listed else "write the value"


def _takes_truth(hint: Any) -> bool:
    """Return whether a setting can be true or false; it would be read as the number 1 or 0."""
    return hint in (bool, Any, object) or isinstance(hint, bool) or any(map(_takes_truth, typing.get_args(hint)))


def _is_branch(part: object) -> bool:
    """Return whether a part of a pydantic location is the branch of a union, not a key."""
    return isinstance(part, str) and (part in ("str", "path", "int", "float") or "[" in part or part[:1].isupper())
