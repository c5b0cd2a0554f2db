"""TOML text of tables and values, for recipes that do not come from a file as they are."""

import datetime
import numbers
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from bocage.recipe.draft import escaped


def toml_text(table: Mapping[str, Any]) -> str:
    """Return a table as a TOML file; keys with the value None are left out.

    Raises
    ------
    ValueError
        TOML has no such value.

    >>> print(toml_text({"name": "tiny", "split": {"train": 0.5, "draws": 2}}), end="")
    name = "tiny"
    <BLANKLINE>
    [split]
    train = 0.5
    draws = 2
    """
    return "".join(_lines(table, ()))


def toml_key(*parts: str) -> str:
    """Return a dotted key; parts with other characters than letters, digits, ``_`` and ``-`` are quoted.

    >>> toml_key("sources", "my scene", "scale")
    'sources."my scene".scale'
    """
    return ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{escaped(part)}"' for part in parts)


def toml_value(value: Any) -> str:
    """Return a value in TOML, tables on one line.

    Raises
    ------
    ValueError
        TOML has no such value.

    >>> toml_value(["red", 0.5, True, {"every": 10}])
    '["red", 0.5, true, { every = 10 }]'
    """
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{toml_key(k)} = {toml_value(v)}" for k, v in value.items() if v is not None) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, PurePath):
        return toml_value(value.as_posix())
    if isinstance(value, str):
        return f'"{escaped(value)}"'
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return _number(value)


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):  # NumPy's numbers too, whose repr names their type
        return repr(float(value))
    raise ValueError(f"a {type(value).__name__} has no form in TOML; write a number, text, date, list or table")


def _lines(table: Mapping[str, Any], place: tuple[str, ...]) -> Iterator[str]:
    """Yield the values of a table, then its tables: TOML counts what follows a header to the table of this header."""
    for key, value in table.items():
        if value is not None and not _tables(value):
            yield f"{toml_key(key)} = {toml_value(value)}\n"
    for key, value in table.items():
        inner = toml_key(*place, key)
        for one in _tables(value):
            yield f"\n[{inner}]\n" if isinstance(value, Mapping) else f"\n[[{inner}]]\n"
            yield from _lines(one, (*place, key))


def _tables(value: Any) -> list[Mapping[str, Any]]:
    """Return the tables of a value that is written with headers; nothing for other values."""
    if isinstance(value, Mapping):
        return [value]
    if isinstance(value, list | tuple) and value and all(isinstance(one, Mapping) for one in value):
        return list(value)
    return []
