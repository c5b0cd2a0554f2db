"""Settings given with ``--set KEY=VALUE``, which replace those of a recipe."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bocage.errors import Problem
from bocage.recipe.writing import toml_key, toml_text, toml_value

OPTION = "--set"
"""Option of the command line."""
EXAMPLE = "write KEY=VALUE, for example training.epochs=20"


@dataclass(frozen=True)
class Override:
    """A setting and the value that replaces the value of the recipe."""

    key: tuple[str, ...]
    """Parts of the dotted key; entries of a list are numbered from 0, as in the messages of the parser."""
    value: Any
    """None: the setting is removed, which gives it its default."""

    @classmethod
    def of(cls, text: str) -> "Override":
        """Read ``KEY=VALUE``; a value that is not TOML is a text, and ``KEY=`` removes the setting.

        Raises
        ------
        ValueError
            The key or the value is not valid; the message explains it.

        >>> Override.of("split.draws=3"), Override.of("model.name=gru")
        (Override(key=('split', 'draws'), value=3), Override(key=('model', 'name'), value='gru'))
        """
        written, sign, value = text.partition("=")
        if not sign:
            raise ValueError(EXAMPLE)
        return cls(_parts(written), _value(value.strip()))

    @property
    def text(self) -> str:
        """``KEY=VALUE``, with the value in TOML."""
        return f"{toml_key(*self.key)}={'' if self.value is None else toml_value(self.value)}"

    def concerns(self, key: str) -> bool:
        """Return whether a dotted key of a problem is this setting, a part of it, or a table that contains it."""
        own, other = f"{'.'.join(self.key)}.", f"{key}."
        return bool(key) and (own.startswith(other) or other.startswith(own))

    def into(self, node: Any, depth: int = 0) -> Any:
        """Return a table with the setting; tables on the way are copied, and created if they are missing.

        Raises
        ------
        ValueError
            A part of the key is a value, not a table, or the number of no entry of a list; or an entry of a list has no value.
        """
        if depth == len(self.key):
            return self.value
        part, is_removed = self.key[depth], self.value is None and depth == len(self.key) - 1
        if isinstance(node, Mapping):
            if is_removed:
                return {key: value for key, value in node.items() if key != part}
            return {**node, part: self.into(node.get(part, {}), depth + 1)}
        where = toml_key(*self.key[:depth])
        if not isinstance(node, list):
            raise ValueError(f"{where} is a value, not a table; found {node!r}")
        if not part.isdecimal() or int(part) >= len(node):
            raise ValueError(f"{where} is a list; its entries are numbered 0 to {len(node) - 1}, found {part!r}")
        number = int(part)
        if is_removed:
            raise ValueError(f"{where} is a list; its entries cannot be removed, so give the whole list")
        return [*node[:number], self.into(node[number], depth + 1), *node[number + 1 :]]


def _parts(written: str) -> tuple[str, ...]:
    """Return the parts of a dotted key, with the quotation marks of TOML."""
    try:
        node, parts = tomllib.loads(f"{written}=0"), list[str]()
    except ValueError:
        raise ValueError(f"the key {written.strip()!r} is not valid; {EXAMPLE}") from None
    while isinstance(node, dict):
        ((part, node),) = node.items()
        parts.append(part)
    return tuple(parts)


def _value(text: str) -> Any:
    if not text:
        return None
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        found = {}
    if len(found) == 1:
        return found["value"]
    if text[:1] in ("[", "{", '"', "'"):
        raise ValueError(f"{text} is not a value of TOML; close its brackets or marks, or quote a text twice: '\"…\"'")
    return text


def overridden(
    table: Mapping[str, Any], given: Sequence[str]
) -> tuple[dict[str, Any], tuple[Override, ...], list[Problem]]:
    """Return a table with the settings `given`, in their order; the overrides; and the problems of unusable ones."""
    result: dict[str, Any] = dict(table)
    used: dict[tuple[str, ...], Override] = {}
    problems = []
    for text in given:
        try:
            override = Override.of(text)
            result = override.into(result)
        except ValueError as error:
            problems.append(Problem(f"{OPTION} {text}", str(error)))
            continue
        used.pop(override.key, None)  # the last one counts, at its place
        used[override.key] = override
    return result, tuple(used.values()), problems


def words_of(overrides: Sequence[str]) -> list[str]:
    """Return the words of a command line that give overrides.

    >>> words_of(["map.tile=64"])
    ['--set', 'map.tile=64']
    """
    return [word for text in overrides for word in (OPTION, text)]


def attributed(problems: Sequence[Problem], overrides: Sequence[Override]) -> list[Problem]:
    """Return the problems of a recipe; those of an overridden setting name the option."""
    found = []
    for problem in problems:
        options = [f"{OPTION} {one.text}" for one in overrides if one.concerns(problem.key)]
        said = f"{problem.message} (from {', '.join(options)})" if options else problem.message
        found.append(replace(problem, message=said))
    return found


def effective_text(path: Path, table: Mapping[str, Any], overrides: Sequence[Override]) -> str:
    """Return the TOML text of a recipe with overrides, which are listed in comments."""
    name = "".join(c if c.isprintable() else " " for c in path.name)
    lines = [f"# {name} with these settings of the command line:", *(f"#   {OPTION} {one.text}" for one in overrides)]
    return "\n".join([*lines, toml_text(table)])
