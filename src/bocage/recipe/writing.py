"""TOML text of tables and values, for recipes that do not come from a file as they are."""

import datetime
import numbers
import re
from collections.abc import ItemsView, Iterator, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

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
        TOML has no such value; the keys of a table are texts.

    >>> toml_value(["red", 0.5, True, {"every": 10}])
    '["red", 0.5, true, { every = 10 }]'
    """
    value = _plain(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{toml_key(k)} = {toml_value(v)}" for k, v in _entries(value) if v is not None) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, PurePath):
        return toml_value(value.as_posix())
    if isinstance(value, str):
        return f'"{escaped(value)}"'
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return _number(value)


def _plain(value: Any) -> Any:
    """Return an array or a number of NumPy as a list or a number of Python; other values as they are."""
    if not isinstance(value, np.ndarray | np.generic):
        return value
    if value.dtype.kind == "M":  # nanoseconds would become numbers
        days = value.astype("datetime64[D]")
        value = days if (days == value).all() else value.astype("datetime64[us]")
    return value.tolist()


def _entries(table: Mapping[Any, Any]) -> ItemsView[str, Any]:
    if wrong := [key for key in table if not isinstance(key, str)]:
        raise ValueError(f"the keys of a table are texts; found {wrong[0]!r}")
    return table.items()


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        return repr(float(value))
    raise ValueError(f"a {type(value).__name__} has no form in TOML; write a number, text, date, list or table")


def _lines(table: Mapping[str, Any], place: tuple[str, ...]) -> Iterator[str]:
    """Yield the values of a table, then its tables: TOML counts what follows a header to the table of this header."""
    for key, value in _entries(table):
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
