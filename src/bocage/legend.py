"""The nomenclature: class codes of the map, with their names, colours and reference values."""

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
"""Default colours, used in order for classes without a colour. Each is as distinct as possible from the previous ones, for
normal and colour-deficient vision and in greyscale (measured by ``report.palette``)."""


@dataclass(frozen=True)
class LandClass:
    """One class of the nomenclature."""

    code: int
    """Value in ``classes.tif``, 1 to 65535. The value 0 is nodata."""
    name: str
    """Name of the class in the map files, the areas and the report. Two classes cannot have the same name."""
    color: str = ""
    """Colour in the map, ``#rrggbb``; empty: the colour of the palette at the position of the class."""
    parent: str = ""
    """Name of the parent class in a hierarchical nomenclature; empty at the top level."""
    values: tuple[int | str, ...] = ()
    """Reference values mapped to this class; empty: its own code."""

    def __post_init__(self) -> None:
        if not 1 <= self.code <= 65535:
            raise ValueError(f"a class code must be between 1 and 65535 (0 is nodata); found {self.code}")
        if self.color and not re.fullmatch(r"#[0-9a-fA-F]{6}", self.color):
            raise ValueError(f"a colour must be written #rrggbb; found '{self.color}'")


@dataclass(frozen=True)
class Legend:
    """The classes, in the order of model outputs and confusion matrices."""

    classes: tuple[LandClass, ...]

    def __post_init__(self) -> None:
        for field in ("code", "name"):
            used = [str(getattr(c, field)) for c in self.classes]
            twice = sorted({v for v in used if used.count(v) > 1})
            if twice:
                raise LegendError(f"The legend gives the {field} {', '.join(twice)} to more than one class.")
        values = [str(v) for c in self.classes for v in (c.values or (c.code,))]
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
        wanted = _plain(value)
        for index, land_class in enumerate(self.classes):
            if wanted in {_plain(v) for v in (land_class.values or (land_class.code,))}:
                return index
        return None

    def without(self, names: Sequence[str]) -> "Legend":
        """Return the legend without the classes called `names`."""
        return Legend(tuple(c for c in self.classes if c.name not in names))


def _plain(value: object) -> str:
    """Return the same text for a code, whether a vector file stores it as ``11``, ``11.0`` or ``"11"``."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def read_csv(path: Path) -> Legend:
    """Read a nomenclature from a CSV file.

    The columns ``code`` and ``name`` are required. The columns ``color``, ``parent`` and ``values`` (reference values separated
    by spaces) are optional.

    Raises
    ------
    LegendError
        The file is missing or lacks a column, or a line is invalid.
    """
    if not path.exists():
        raise LegendError(
            f"The legend {path} does not exist. Set [legend] csv to the path of a file with the columns code,name,color."
        )
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = csv.DictReader(stream)
        missing = {"code", "name"} - set(rows.fieldnames or ())
        if missing:
            raise LegendError(f"The legend {path} has no column {', '.join(sorted(missing))}. Found {rows.fieldnames}.")
        return Legend(tuple(_read_row(path, number, row) for number, row in enumerate(rows, start=2)))


def _read_row(path: Path, number: int, row: dict[str, str]) -> LandClass:
    try:
        values = tuple((row.get("values") or "").split())
        extra = {key: (row.get(key) or "").strip() for key in ("color", "parent")}
        return LandClass(int(row["code"]), row["name"].strip(), values=values, **extra)
    except (ValueError, AttributeError) as error:
        raise LegendError(f"The legend {path}, line {number}: {error}.") from error
