"""Tables of settings, in Markdown, from the data classes and their field docstrings.

``conf.py`` writes the tables of a recipe to ``docs/tables`` before each build, where the pages of the guide include them, and
the tables of sensors and models to the reference pages.
"""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from sphinx.pycode import ModuleAnalyzer

from bocage.recipe import SourceChoice
from bocage.recipe.nouns import Repetition
from bocage.recipe.parse import SECTIONS
from bocage.scene import Preparation
from bocage.training import Choice

HEAD = "| setting | type or choices | default | meaning |\n| --- | --- | --- | --- |\n"
NAMES = {str: "text", int: "integer", float: "number", bool: "`true`, `false`", Path: "path", date: "date"}
"""Type of a field → its name for a user of TOML."""
ELSEWHERE = {SourceChoice: ("settings", "preparation"), Choice: ("config", "training", "trainings")}
"""Fields that are not keys of the recipe, because their values come from other tables."""
SECTION_KINDS: dict[str, tuple[type[Any], ...]] = {
    "sources": (SourceChoice, Preparation),
    "model": (Choice, Repetition),
    **{name: (kind,) for name, (kind, _) in SECTIONS.items()},
}
"""Table of the recipe → data classes of its settings."""


def recipe_tables() -> dict[str, str]:
    """Return the tables of a recipe; a nested table has a dotted name, such as ``sources.fill``."""
    return {name: table(*kinds) for name, kinds in recipe_kinds().items()}


def recipe_kinds() -> dict[str, tuple[type[Any], ...]]:
    """Return the data classes of each table of a recipe, with the nested tables."""
    found = {}
    for name, kinds in SECTION_KINDS.items():
        found[name] = kinds
        for kind in kinds:
            found |= {f"{name}.{field}": (inner,) for field, inner in nested(kind)}
    return found


def table(*kinds: type[Any]) -> str:
    """Return one table with the settings of all `kinds`."""
    return HEAD + "".join(_rows(kind) for kind in kinds)


def settings(kind: type[Any]) -> list[dataclasses.Field[Any]]:
    """Return the fields of a data class that are keys of a recipe."""
    return [field for field in dataclasses.fields(kind) if field.name not in ELSEWHERE.get(kind, ())]


def nested(kind: type[Any]) -> Iterator[tuple[str, type[Any]]]:
    """Yield name and data class of each setting that is itself a table, or a list of tables."""
    hints = typing.get_type_hints(kind)
    for field in settings(kind):
        hint = hints[field.name]
        yield from ((field.name, part) for part in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(part))


def field_docs(kind: type[Any]) -> dict[str, str]:
    """Return the docstring of each field of a data class that has one; inherited fields included."""
    docs: dict[str, str] = {}
    for owner in reversed(kind.__mro__[:-1]):
        found = ModuleAnalyzer.for_module(owner.__module__).find_attr_docs()
        docs |= {name: " ".join(lines).strip() for (of, name), lines in found.items() if of == owner.__name__}
    return docs


def type_name(hint: Any) -> str:
    """Return the type of a setting, or its choices, as a user writes them in TOML."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return ", ".join(f"`{_toml(choice)}`" for choice in parts)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_name(part) for part in parts if part is not types.NoneType)
    if origin is tuple and Ellipsis not in parts:
        return f"list of {len(parts)}: {type_name(parts[0])}"
    if origin is tuple:
        return f"list: {type_name(parts[0])}"
    if dataclasses.is_dataclass(hint) or origin in (dict, Mapping):
        return "table"
    return NAMES[hint]


def _rows(kind: type[Any]) -> str:
    docs, hints = field_docs(kind), typing.get_type_hints(kind)
    lines = []
    for field in settings(kind):
        cells = (f"`{field.name}`", type_name(hints[field.name]), _default(field), docs[field.name])
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n")
    return "".join(lines)


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return f"`{_toml(field.default_factory())}`"
    if field.default is dataclasses.MISSING:
        return "required"
    return "none" if field.default is None else f"`{_toml(field.default)}`"


def _toml(value: Any) -> str:
    """Return a value as TOML; of a nested table, the values that are not empty."""
    if dataclasses.is_dataclass(value):
        pairs = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return "{ " + ", ".join(f"{name} = {_toml(inner)}" for name, inner in pairs if inner) + " }"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
