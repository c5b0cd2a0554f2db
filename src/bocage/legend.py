"""The nomenclature: class codes of the map, with their names, colours, parents and reference values."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import LegendError
from bocage.ranges import VALUE, Range, check_ranges
from bocage.textfile import read_rows

PALETTE = (
    "#e4bd20", "#20476e", "#d04747", "#96f7f7", "#a982f7", "#6ebd82", "#96475b", "#a9e46e", "#a98220", "#6e34a9",
    "#5b5be4", "#d0965b", "#34f7d0", "#f796e4", "#966ebd", "#47e482", "#d06ea9", "#82340d", "#a94747", "#205b96",
    "#472020", "#f7f70d", "#470dbd", "#34206e", "#8220f7", "#829682", "#473447", "#0d8282", "#5b200d", "#e4f7bd",
    "#f79647", "#d0a9a9", "#5bd0f7", "#d0d0a9", "#96f75b", "#6e6e0d", "#47a9bd", "#96d0d0", "#a95bd0", "#d020f7",
    "#0d0df7", "#a90d96", "#470d82", "#6e3434", "#9696e4", "#d03482", "#96825b", "#9620d0", "#96a90d", "#475b6e",
    "#6e0d5b", "#5b20a9", "#0d5b0d", "#82bd6e", "#6ee434", "#f7d096", "#d06e47", "#342047", "#0d0d96", "#bdbd5b",
    "#966e6e", "#d020a9", "#474720", "#0da96e", "#343434", "#96205b", "#0d47bd", "#f7bdbd", "#969696", "#0d6e34",
    "#0d82f7", "#bd0d34", "#e45bd0", "#6e34e4", "#0dbdbd", "#a9f747", "#9647d0", "#f78220", "#96e4f7", "#6e0d82",
    "#d02020", "#f7e482", "#473420", "#962082", "#6e4747", "#6e0d34", "#470d5b", "#f70d20", "#826e5b", "#d03434",
    "#828296", "#d0826e", "#5b6ea9", "#e4a996", "#34345b", "#476e6e", "#0d20d0", "#a996f7", "#d0f7e4", "#d096a9",
)  # fmt: skip
"""Default colours, used in order for classes without a colour. Each is as distinct as possible from the previous ones, for
normal and colour-deficient vision and, of the first 20, in greyscale (measured by ``report.palette``)."""


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
    """Name of the parent class in a hierarchical nomenclature; empty at the top level. A class that is the parent of another
    one is coarser than the classes of the map: its polygons train the sum of the probabilities of the classes below it."""
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
class ClassSet:
    """Several classes for polygons of which one knows only that their class is one of these: "maize or sorghum"."""

    classes: Annotated[tuple[str, ...], VALUE]
    """Names of two or more classes of the legend. A coarser class stands for the classes below it."""
    values: Annotated[tuple[int | str, ...], VALUE] = ()
    """Reference values of these polygons; empty: the names of the classes, joined by " or "."""

    code = 0
    """A set is no class of the map, and has no code."""

    @property
    def name(self) -> str:
        """Names of the classes, joined by " or "."""
        return " or ".join(self.classes)

    def __post_init__(self) -> None:
        check_ranges(self)
        if len({plain(name) for name in self.classes}) < 2:
            listed = ", ".join(map(str, self.classes)) or "none"
            raise ValueError(f"a set needs two or more different classes; found {listed}")
        if not all(plain(value) for value in self.values):
            raise ValueError(f"a reference value cannot be empty; found one in the set '{self.name}'")


COARSER = -2
"""Label of a pixel of the first coarser class; the other coarser classes, then the sets, follow downwards. -1 is no class."""


@dataclass(frozen=True)
class Level:
    """A level of a nomenclature, from 1 (the coarsest)."""

    number: int
    names: tuple[str, ...]
    """Names of its classes, (G,). A class of the map that ends above the level stands for itself."""
    group: NDArray[np.int64]
    """(K,) position in `names` of the class that each class of the map is in."""
    codes: tuple[int, ...]
    """Codes of its classes, (G,); 0 for a parent that is no class of the legend."""
    colors: tuple[str, ...]
    """Colours of its classes, (G,)."""

    def sums(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the sums (G, ...) of values (K, ...) over the classes of the map in each class, such as probabilities."""
        return np.stack([values[self.group == g].sum(0) for g in range(len(self.names))])


@dataclass(frozen=True)
class Legend:
    """The classes of the map, in the order of model outputs and confusion matrices, and the coarser classes above them."""

    classes: tuple[LandClass, ...]
    coarser: tuple[LandClass, ...] = ()
    """Classes that are parents of others (:func:`nomenclature`)."""
    sets: tuple[ClassSet, ...] = ()
    """Sets of classes, as labels of polygons."""

    def __post_init__(self) -> None:
        everything = (*self.classes, *self.coarser)
        for field in ("code", "name"):
            used = [plain(getattr(c, field)) for c in everything]
            twice = sorted({v for v in used if used.count(v) > 1})
            if twice:
                raise LegendError(f"The legend gives the {field} {', '.join(twice)} to more than one class.")
        values = [v for c in everything for v in dict.fromkeys(plain(v) for v in (c.values or (c.code,)))]
        values += [v for c in self.sets for v in dict.fromkeys(plain(v) for v in (c.values or (c.name,)))]
        twice = sorted({v for v in values if values.count(v) > 1})
        if twice:
            raise LegendError(
                f"The legend assigns the reference value {', '.join(twice)} to more than one class or set of classes."
            )
        if not self.classes:
            raise LegendError("The legend has no class. Give at least one.")

    @property
    def codes(self) -> tuple[int, ...]:
        """Class codes, in the order of the classes."""
        return tuple(c.code for c in self.classes)

    def positions(self) -> NDArray[np.int64]:
        """Return the position in the legend of each 16-bit code (65536,); −1 of codes that are no class."""
        table = np.full(65536, -1, np.int64)
        table[list(self.codes)] = np.arange(len(self.codes))
        return table

    @property
    def names(self) -> tuple[str, ...]:
        """Class names, in the order of the classes."""
        return tuple(c.name for c in self.classes)

    @property
    def colors(self) -> tuple[str, ...]:
        """Colour ``#rrggbb`` of every class; where the class has none, that of the palette at its position.

        A colour that another class was given is not taken: the next free one of the palette is.
        """
        everything = (*self.classes, *self.coarser)
        given = {c.color.lower() for c in everything}
        free = (color for color in PALETTE[len(everything) :] if color not in given)
        own = (PALETTE[i % len(PALETTE)] for i in range(len(self.classes)))
        return tuple(
            c.color or (next(free, color) if color in given else color)
            for c, color in zip(self.classes, own, strict=True)
        )

    def rgb(self, index: int) -> tuple[int, int, int]:
        """Return red, green and blue (0 to 255) of the class at `index`."""
        text = self.colors[index]
        return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)

    def palette(self, only: frozenset[int] | None = None) -> NDArray[np.uint8]:
        """Return the colour of each 16-bit code (65536, 4), RGBA; transparent for codes of no class, or not in `only`."""
        colors = np.zeros((65536, 4), np.uint8)
        for i, code in enumerate(self.codes):
            if only is None or code in only:
                colors[code] = (*self.rgb(i), 255)
        return colors

    def index_of(self, value: object) -> int | None:
        """Return the label of a reference value: the position of its class, or None if it belongs to no class.

        The label of coarser class ``j`` is ``COARSER - j``, a negative number.

        >>> Legend((LandClass(1, "crops", values=(1110, "maize")),)).index_of("1110")
        0
        """
        found = self._positions.get(plain(value))
        if found is None and isinstance(value, bool | np.bool_):
            found = self._positions.get(str(value), self._positions.get(str(value).lower()))
        return found

    @cached_property
    def _positions(self) -> dict[str, int]:
        numbered = (*enumerate(self.classes), *((COARSER - j, c) for j, c in enumerate(self.coarser)))
        found = {plain(v): i for i, c in numbered for v in (c.values or (c.code,))}
        first = COARSER - len(self.coarser)
        return found | {plain(v): first - j for j, c in enumerate(self.sets) for v in (c.values or (c.name,))}

    def labelled(self, label: int) -> LandClass | ClassSet:
        """Return the class, perhaps a coarser one, or the set of classes of a label."""
        others: tuple[LandClass | ClassSet, ...] = (*self.coarser, *self.sets)
        return self.classes[label] if label >= 0 else others[COARSER - label]

    def path(self, index: int) -> tuple[str, ...]:
        """Return the names from the top level of the nomenclature down to the class of the map at `index`.

        >>> Legend((LandClass(11, "wheat", parent="cereals"),), (LandClass(1, "cereals", parent="crops"),)).path(0)
        ('crops', 'cereals', 'wheat')
        """
        return self._path(self.classes[index].name)

    @property
    def names_of_levels(self) -> tuple[str, ...]:
        """Names of the classes of the map and of all classes above them."""
        return tuple(dict.fromkeys(name for k in range(len(self.classes)) for name in reversed(self.path(k))))

    def _path(self, name: str) -> tuple[str, ...]:
        """Return the names from the top level down to a class."""
        names = [name]
        while (
            above := self._parents.get(plain(names[0]), "")
        ) and above not in names:  # a legend of a file may have a cycle
            names.insert(0, above)
        return tuple(names)

    @cached_property
    def _parents(self) -> dict[str, str]:
        return {plain(c.name): c.parent for c in (*self.classes, *self.coarser) if plain(c.parent) != plain(c.name)}

    @property
    def depth(self) -> int:
        """Number of levels; 1 without parents."""
        return max(len(self.path(i)) for i in range(len(self.classes)))

    def level(self, number: int) -> Level:
        """Return level `number`, from 1 (the coarsest) to the depth of the nomenclature (the classes of the map)."""
        at = [self.path(i)[:number][-1] for i in range(len(self.classes))]
        names = tuple(dict.fromkeys(at))
        whole = self.whole
        colors = dict(zip(whole.names, whole.colors, strict=True))  # those of certain.tif
        free = iter(PALETTE[len(whole.classes) % len(PALETTE) :] + PALETTE)
        codes = {c.name: c.code for c in (*self.classes, *self.coarser)}
        return Level(
            number,
            names,
            np.array([names.index(name) for name in at]),
            tuple(codes.get(name, 0) for name in names),
            tuple(colors.get(name, "") or next(free) for name in names),
        )

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels, from the coarsest to the classes of the map."""
        return tuple(self.level(number) for number in range(1, self.depth + 1))

    def below(self, label: int) -> NDArray[np.bool_]:
        """Return whether each class of the map is the class of a label, or is below it or in its set, (K,)."""
        one = self.labelled(label)
        names = set(map(plain, one.classes if isinstance(one, ClassSet) else (one.name,)))
        return np.array([not names.isdisjoint(map(plain, self.path(i))) for i in range(len(self.classes))])

    @property
    def groups(self) -> NDArray[np.bool_]:
        """Whether each class of the map is below each coarser class, or in each set, (J, K)."""
        rows = [self.below(COARSER - j) for j in range(len(self.coarser) + len(self.sets))]
        return np.array(rows, bool).reshape(len(rows), len(self.classes))

    def at_level(self, number: int) -> "Legend":
        """Return the legend with the classes of level `number` as classes of the map; values of finer classes are theirs.

        A set has the classes of the level that its classes are in. The values of a set in one class are those of this class.

        Raises
        ------
        LegendError
            There is no such level, or a class of it is only the name of a parent and has no code.
        """
        if not 1 <= number <= self.depth:
            raise LegendError(f"The legend has {self.depth} level(s); found level {number}.")
        level = self.level(number)
        self.check_codes(level)
        values: dict[str, list[int | str]] = {name: [] for name in level.names}
        above = []
        for c in (*self.coarser, *self.classes):
            at = self._path(c.name)[:number][-1]  # its own name if it is above the level
            if at in values:
                values[at] += c.values or (c.code,)
            else:
                above.append(c)
        known = {c.name: c for c in (*self.classes, *self.coarser)}
        sets = self._sets_at(level, values)
        merged = nomenclature([*above, *(replace(known[name], values=tuple(values[name])) for name in level.names)])
        return replace(merged, sets=sets)

    def _sets_at(self, level: Level, values: dict[str, list[int | str]]) -> tuple[ClassSet, ...]:
        """Return the sets with the classes of a level, or above it; the `values` of those in one class are added to its own."""
        names = {plain(c.name): c.name for c in (*self.classes, *self.coarser)}
        own: dict[frozenset[str], ClassSet] = {}
        for one, below in zip(self.sets, self.groups[len(self.coarser) :], strict=True):
            within = np.unique(level.group[below])
            if len(within) == 1:
                values[level.names[within[0]]] += one.values or (one.name,)
                continue
            at = tuple(dict.fromkeys(self._path(names[plain(name)])[: level.number][-1] for name in one.classes))
            same = own.get(frozenset(at), ClassSet(at))
            own[frozenset(at)] = replace(same, values=(*same.values, *(one.values or (one.name,))))
        return tuple(own.values())

    def check_codes(self, level: Level) -> None:
        """Check that every class of a level has a code.

        Raises
        ------
        LegendError
            A class is only the name of a parent.
        """
        if bare := [name for name, code in zip(level.names, level.codes, strict=True) if not code]:
            raise LegendError(
                f"The class '{bare[0]}' of level {level.number} is a parent without a code. Add it to the legend, for example "
                f'{{ code = 1, name = "{bare[0]}" }}.'
            )

    @property
    def whole(self) -> "Legend":
        """All classes, the coarser ones last, as classes of one map."""
        return Legend((*self.classes, *self.coarser))

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

    def with_sets(self, sets: Sequence[ClassSet]) -> "Legend":
        """Return the legend with sets of its classes.

        Raises
        ------
        LegendError
            A set has an unknown class, or only one class of the map in it, or its reference value belongs to another class.
        """
        known = {plain(c.name) for c in (*self.classes, *self.coarser)}
        legend = replace(self, sets=tuple(sets))
        for j, one in enumerate(sets):
            if unknown := [name for name in one.classes if plain(name) not in known]:
                listed = ", ".join(c.name for c in (*self.classes, *self.coarser))
                raise LegendError(
                    f"The set '{one.name}' has the class '{unknown[0]}', which is not in the legend. Classes: {listed}."
                )
            if legend.below(COARSER - len(self.coarser) - j).sum() < 2:
                raise LegendError(f"The set '{one.name}' has only one class of the map in it. Use the class itself.")
        return legend

    def without(self, names: Sequence[str]) -> "Legend":
        """Return the legend without the classes called `names`; a set keeps its other classes."""
        return replace(self, classes=tuple(c for c in self.classes if c.name not in names))


def nomenclature(classes: Sequence[LandClass]) -> Legend:
    """Return the legend of a hierarchical nomenclature: classes that are parents of others are its coarser classes.

    >>> legend = nomenclature([LandClass(1, "crops"), LandClass(11, "wheat", parent="crops"), LandClass(2, "water")])
    >>> legend.names, [c.name for c in legend.coarser], legend.index_of(1)
    (('wheat', 'water'), ['crops'], -2)

    Raises
    ------
    LegendError
        A class is above itself, or two classes have the same code, name or reference value.
    """
    parents = {
        plain(c.name): c.parent for c in classes if plain(c.parent) != plain(c.name)
    }  # its own parent: at the top
    for c in classes:
        path = [c.name]
        while above := parents.get(plain(path[-1]), ""):
            path.append(above)
            if plain(above) in map(plain, path[:-1]):
                raise LegendError(f"The nomenclature has a cycle: {' → '.join(path)}. Remove one of these parents.")
    inner = {plain(parent) for parent in parents.values() if parent}
    finest = tuple(c for c in classes if plain(c.name) not in inner)
    return Legend(finest, tuple(c for c in classes if plain(c.name) in inner))


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
    return nomenclature([_read_row(f"The legend {path}, line {number}", columns, cells) for number, cells in rows[1:]])


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
