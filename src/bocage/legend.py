"""The nomenclature: class codes of the map, with their names, colours and reference values."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np

from bocage.errors import LegendError
from bocage.ranges import VALUE, Range, check_ranges
from bocage.textfile import read_rows

PALETTE = (
    "#e4bd20", "#20476e", "#d04747", "#96f7f7", "#a982f7", "#6ebd82", "#96475b", "#a9e46e", "#a98220", "#6e34a9",
    "#5b5be4", "#d0965b", "#34f7d0", "#f796e4", "#966ebd", "#47e482", "#d06ea9", "#82340d", "#a94747", "#205b96",
)  # fmt: skip
"""Default colours, used in order for classes without a colour. Each is as distinct as possible from the previous ones, for
normal and colour-deficient vision and in greyscale (measured by ``report.palette``)."""


LONGEST = 200
"""Maximum number of characters of a class name."""


@dataclass(frozen=True)
class LandClass:
    """One class of the nomenclature."""

    code: Annotated[int, Range(1, 65_535)]
    """Value in ``classes.tif``, 1 to 65535. The value 0 is nodata."""
    name: str
    """Name of the class in the map files, the areas and the report. Two classes cannot have the same name."""
    color: str = ""
    """Colour in the map, ``#rrggbb``; empty: the colour of the palette at the position of the class."""
    parent: str = ""
    """Name of the parent class in a hierarchical nomenclature; empty at the top level."""
    values: Annotated[tuple[int | str, ...], VALUE] = ()
    """Reference values mapped to this class; empty: its own code."""

    def __post_init__(self) -> None:
        if not 1 <= self.code <= 65535:
            raise ValueError(f"a class code must be between 1 and 65535 (0 is nodata); found {self.code}")
        check_ranges(self)
        if not isinstance(self.name, str) or not plain(self.name):
            raise ValueError(f"a class needs a name; found {self.name!r} for the code {self.code}")
        if len(self.name) > LONGEST or not self.name.isprintable():
            raise ValueError(f"a class name must be one line of at most {LONGEST} characters; found {self.name[:30]!r}")
        if not all(plain(value) for value in self.values):
            raise ValueError(f"a reference value cannot be empty; found one in the class '{self.name}'")
        if self.color and not re.fullmatch(r"#[0-9a-fA-F]{6}", self.color):
            raise ValueError(f"a colour must be written #rrggbb; found '{self.color}'")


@dataclass(frozen=True)
class Legend:
    """The classes, in the order of model outputs and confusion matrices."""

    classes: tuple[LandClass, ...]

    def __post_init__(self) -> None:
        for field in ("code", "name"):
            used = [plain(getattr(c, field)) for c in self.classes]
            twice = sorted({v for v in used if used.count(v) > 1})
            if twice:
                raise LegendError(f"The legend gives the {field} {', '.join(twice)} to more than one class.")
        values = [v for c in self.classes for v in dict.fromkeys(plain(v) for v in (c.values or (c.code,)))]
        twice = sorted({v for v in values if values.count(v) > 1})
        if twice:
            raise LegendError(f"The legend assigns the reference value {', '.join(twice)} to more than one class.")
        if not self.classes:
            raise LegendError("The legend has no class. Give at least one.")

    @property
    def codes(self) -> tuple[int, ...]:
        """Class codes, in the order of the classes."""
        return tuple(c.code for c in self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names, in the order of the classes."""
        return tuple(c.name for c in self.classes)

    @property
    def colors(self) -> tuple[str, ...]:
        """Colour ``#rrggbb`` of every class; a colour of the palette where the class has none."""
        return tuple(c.color or PALETTE[i % len(PALETTE)] for i, c in enumerate(self.classes))

    def rgb(self, index: int) -> tuple[int, int, int]:
        """Return red, green and blue (0 to 255) of the class at `index`."""
        text = self.colors[index]
        return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)

    def index_of(self, value: object) -> int | None:
        """Return the position of the class that a reference value belongs to, or None if it belongs to no class.

        >>> Legend((LandClass(1, "crops", values=(1110, "maize")),)).index_of("1110")
        0
        """
        found = self._positions.get(plain(value))
        if found is None and isinstance(value, bool | np.bool_):
            found = self._positions.get(str(value), self._positions.get(str(value).lower()))
        return found

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {plain(v): i for i, c in enumerate(self.classes) for v in (c.values or (c.code,))}

    def absent_from(self, other: "Legend") -> tuple[str, ...]:
        """Return the names of the classes whose code is not in the legend `other`."""
        return tuple(c.name for c in self.classes if c.code not in other.codes)

    def renamed_in(self, other: "Legend") -> list[tuple[int, str, str]]:
        """Return code, name here and name in the legend `other` of the classes that have one code and two names.

        Raises
        ------
        LegendError
            A name has another code in the legend `other`, so that codes of the two legends cannot be compared.
        """
        names = dict(zip(other.codes, other.names, strict=True))
        codes = {name: code for code, name in names.items()}
        for c in self.classes:
            if codes.get(c.name, c.code) != c.code:
                raise LegendError(
                    f"The class '{c.name}' has the code {c.code} in one legend and {codes[c.name]} in the other. Give it the "
                    "same code in both."
                )
        return [(c.code, c.name, names[c.code]) for c in self.classes if names.get(c.code, c.name) != c.name]

    def with_classes_of(self, other: "Legend") -> "Legend":
        """Return the classes of this legend, then those of `other` with other codes; without reference values."""
        more = (c for c in other.classes if c.code not in self.codes)
        return Legend(tuple(replace(c, values=()) for c in (*self.classes, *more)))

    def without(self, names: Sequence[str]) -> "Legend":
        """Return the legend without the classes called `names`."""
        return Legend(tuple(c for c in self.classes if c.name not in names))


def plain(value: object) -> str:
    """Return the text by which reference values and names are compared; empty for a missing value.

    A code is the same as ``11``, ``11.0`` or ``"11"``, a boolean as true or 1. Blanks around a text, runs of blanks and
    line breaks in it, and the two Unicode forms of an accent make no difference.

    >>> plain(11.0), plain(" winter  wheat "), plain(True), plain(None), plain(float("nan"))
    ('11', 'winter wheat', '1', '', '')
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        value = int(value)
    if not isinstance(value, str) and str(value) in ("None", "nan", "<NA>", "NaT"):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(unicodedata.normalize("NFC", str(value)).split())


def read_csv(path: Path) -> Legend:
    """Read a nomenclature from a CSV file, separated by commas, semicolons or tabs.

    The columns ``code`` and ``name`` are required. The columns ``color``, ``parent`` and ``values`` are optional; reference
    values are separated by ``;`` or ``|``, numbers also by blanks.

    Raises
    ------
    LegendError
        The file is missing or lacks a column, or a line is invalid.
    """
    try:
        rows = read_rows(path)
    except FileNotFoundError:
        raise LegendError(
            f"The legend {path} does not exist. Set [legend] csv to the path of a file with the columns code,name,color."
        ) from None
    except ValueError as error:
        raise LegendError(f"The legend {path} cannot be read: {error}. Save it as CSV in UTF-8.") from error
    columns = [cell.casefold() for cell in rows[0][1]] if rows else []
    missing = {"code", "name"} - set(columns)
    if missing:
        found = ", ".join(columns)[:200] or "an empty file"
        raise LegendError(f"The legend {path} has no column {', '.join(sorted(missing))}. Found {found}.")
    return Legend(tuple(_read_row(f"The legend {path}, line {number}", columns, cells) for number, cells in rows[1:]))


def _read_row(where: str, columns: list[str], cells: list[str]) -> LandClass:
    if any(cells[len(columns) :]):
        raise LegendError(
            f"{where}: {len(cells)} values for {len(columns)} columns. Put quotes around a value with a separator in it."
        )
    row = dict(zip(columns, cells, strict=False))
    if not re.fullmatch(r"\d{1,9}(\.0*)?", row["code"]):
        raise LegendError(f"{where}: the code '{row['code'][:30]}' is not a whole number from 1 to 65535.")
    extra = {key: row.get(key, "") for key in ("color", "parent")}
    try:
        return LandClass(int(float(row["code"])), row.get("name", ""), values=_values(row.get("values", "")), **extra)
    except ValueError as error:
        raise LegendError(f"{where}: {error}.") from error


def _values(cell: str) -> tuple[str, ...]:
    """Return the reference values of a cell: only numbers may be separated by blanks, because a text may contain blanks.

    >>> _values("11 12"), _values("winter wheat"), _values("maize; winter wheat")
    (('11', '12'), ('winter wheat',), ('maize', 'winter wheat'))
    """
    if re.fullmatch(r"[-\d.\s]+", cell):
        return tuple(cell.split())
    return tuple(part.strip() for part in re.split(r"[;|]", cell) if part.strip())
