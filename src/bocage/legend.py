"""The nomenclature: which codes the user's map has, their names and colours, and which reference values they gather."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bocage.errors import LegendError

PALETTE = (
    "#e4bd20", "#20476e", "#d04747", "#96f7f7", "#a982f7", "#6ebd82", "#96475b", "#a9e46e", "#a98220", "#6e34a9",
    "#5b5be4", "#d0965b", "#34f7d0", "#f796e4", "#966ebd", "#47e482", "#d06ea9", "#82340d", "#a94747", "#205b96",
)  # fmt: skip
"""Colours given, in order, to classes whose colour the user leaves out: each as far as can be from those before it, for any
colour vision and in greyscale (``report.palette`` measures)."""


@dataclass(frozen=True)
class LandClass:
    """One class of the nomenclature."""

    code: int
    """Its value in ``classes.tif``: 1 to 65535; 0 is no data."""
    name: str
    color: str = ""
    """``#rrggbb``; empty takes the next colour of the palette."""
    parent: str = ""
    """Name of the class above it in a hierarchical nomenclature; empty at the top."""
    values: tuple[int | str, ...] = ()
    """The reference values gathered in this class; empty means its own code."""

    def __post_init__(self) -> None:
        if not 1 <= self.code <= 65535:
            raise ValueError(f"a class code lies between 1 and 65535 (0 is no data); found {self.code}")
        if self.color and not re.fullmatch(r"#[0-9a-fA-F]{6}", self.color):
            raise ValueError(f"a colour is written #rrggbb; found '{self.color}'")


@dataclass(frozen=True)
class Legend:
    """The classes in the order in which models and matrices count them."""

    classes: tuple[LandClass, ...]

    def __post_init__(self) -> None:
        for what in ("code", "name"):
            found = [str(getattr(c, what)) for c in self.classes]
            twice = sorted({v for v in found if found.count(v) > 1})
            if twice:
                raise LegendError(f"The legend gives the {what} {', '.join(twice)} to more than one class.")
        values = [str(v) for c in self.classes for v in (c.values or (c.code,))]
        twice = sorted({v for v in values if values.count(v) > 1})
        if twice:
            raise LegendError(f"The legend puts the reference value {', '.join(twice)} in more than one class.")
        if not self.classes:
            raise LegendError("The legend has no class.")

    @property
    def codes(self) -> tuple[int, ...]:
        """Codes, in the order of the classes."""
        return tuple(c.code for c in self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names, in the order of the classes."""
        return tuple(c.name for c in self.classes)

    @property
    def colors(self) -> tuple[str, ...]:
        """``#rrggbb`` of every class, the palette's where none was given."""
        return tuple(c.color or PALETTE[i % len(PALETTE)] for i, c in enumerate(self.classes))

    def rgb(self, index: int) -> tuple[int, int, int]:
        """Red, green and blue (0 to 255) of the class at `index`."""
        text = self.colors[index]
        return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)

    def index_of(self, value: object) -> int | None:
        """Position of the class that gathers a reference value, or None where no class does.

        >>> Legend((LandClass(1, "crops", values=(1110, "maize")),)).index_of("1110")
        0
        """
        wanted = _plain(value)
        for index, land_class in enumerate(self.classes):
            if wanted in {_plain(v) for v in (land_class.values or (land_class.code,))}:
                return index
        return None

    def without(self, names: Sequence[str]) -> "Legend":
        """Return the legend less the classes named."""
        return Legend(tuple(c for c in self.classes if c.name not in names))


def _plain(value: object) -> str:
    """One spelling for a code however a vector file stores it (``11``, ``11.0``, ``"11"``)."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def read_csv(path: Path) -> Legend:
    """Read a nomenclature from a CSV file.

    Its columns are ``code,name`` and, if wanted, ``color,parent,values`` (reference values separated by spaces).

    Raises
    ------
    LegendError
        The file is missing, lacks a column, or a line cannot be read.
    """
    if not path.exists():
        raise LegendError(
            f"The legend {path} does not exist; give [legend] csv the path of a file with code,name,color."
        )
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = csv.DictReader(stream)
        missing = {"code", "name"} - set(rows.fieldnames or ())
        if missing:
            raise LegendError(f"The legend {path} has no column {', '.join(sorted(missing))}; found {rows.fieldnames}.")
        return Legend(tuple(_read_row(path, number, row) for number, row in enumerate(rows, start=2)))


def _read_row(path: Path, number: int, row: dict[str, str]) -> LandClass:
    try:
        values = tuple((row.get("values") or "").split())
        extra = {key: (row.get(key) or "").strip() for key in ("color", "parent")}
        return LandClass(int(row["code"]), row["name"].strip(), values=values, **extra)
    except (ValueError, AttributeError) as error:
        raise LegendError(f"The legend {path}, line {number}: {error}.") from error
