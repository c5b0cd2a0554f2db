"""Districts with statistics: polygons of a vector file, with a numeric field for each class whose area is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyogrio
from numpy.typing import NDArray

from bocage.errors import FinishError
from bocage.finish.ground import ground_areas
from bocage.finish.zones import OVERLAP, Zones, overlapping, read_zones
from bocage.grid import HECTARE, Grid
from bocage.legend import Legend, plain
from bocage.progress import Progress
from bocage.shelf import did_you_mean, nearest
from bocage.vectorfile import layer_of, polygons_of
from bocage.words import quantity, significant

Unit = Literal["share", "percent", "ha"]
TOLERANCE = 0.01
"""Difference from 1 of a sum of shares that is taken for rounding."""


@dataclass(frozen=True)
class Districts:
    """Districts in the CRS of a map, and their statistics."""

    path: Path
    zones: Zones
    statistic: NDArray[np.float64]
    """Statistic of each class, as a share or in hectares; NaN without one (N, K)."""
    unit: Unit
    legend: Legend

    def __len__(self) -> int:
        return len(self.zones)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each district."""
        return self.zones.names

    def areas(self, grid: Grid) -> NDArray[np.float64]:
        """Return the area of each district on the ground, on the map and off it, in m² (N,)."""
        return np.array([ground_areas(polygons_of(shape), grid.crs.proj).sum() for shape in self.zones.shapes])

    def covered(self, area: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
        """Return the share of each district that the map covers with data (N,), from their mapped area in m² (N,)."""
        return np.asarray(area / np.maximum(self.areas(grid), 1e-12))

    def shares(self, grid: Grid) -> NDArray[np.float64]:
        """Return the share of each class in the whole district, 0 to 1 (N, K); NaN without a statistic.

        Raises
        ------
        FinishError
            Hectares are more than the district has, or all classes are given and their sum is not the district.
        """
        if self.unit != "ha":
            return self.statistic
        hectares = self.areas(grid) / HECTARE
        found = self.statistic / np.maximum(hectares[:, None], 1e-12)
        self.check_sums(found, hectares)
        return found

    def check_sums(self, shares: NDArray[np.float64], hectares: NDArray[np.float64] | None = None) -> None:
        """Check that no shares of a district have a sum above 1, and those of all classes the sum 1."""
        sums, whole = np.nansum(shares, 1), ~np.isnan(shares).any(1)
        wrong = (sums > 1 + TOLERANCE) | (whole & (sums < 1 - TOLERANCE))
        if not wrong.any():
            return
        k = int(np.argmax(wrong))
        found = (
            f"{significant(sums[k], 4)} in all"
            if hectares is None
            else f"{significant(sums[k] * hectares[k], 4)} ha in all"
        )
        limit = "the whole is 1" if hectares is None else f"the district has {significant(hectares[k], 4)} ha"
        only = "All classes have a statistic, and it is too small" if sums[k] < 1 else "The statistics are too large"
        more = f" ({int(wrong.sum())} such districts)" if wrong.sum() > 1 else ""
        raise FinishError(
            f"{self.path}: district '{self.names[k]}': {found}, but {limit}{more}. {only}: correct the values, choose another "
            "--unit (share, percent, ha), or leave out the field of a class, which then fills the rest."
        )


def read_districts(path: Path, field: str, unit: Unit, place: tuple[Grid, Legend], progress: Progress) -> Districts:
    """Read the districts of a vector file, with a field for each class with a statistic, named as the class or by its code.

    Parameters
    ----------
    field
        Field with the name of the district; empty: districts are numbered.
    place
        Grid and legend of the map.

    Raises
    ------
    FinishError
        The file cannot be read, has no polygon or no field of a class, districts overlap or have the same name, or a statistic
        is negative, no number, or too large.
    """
    grid, legend = place
    zones = read_zones(path, "", grid, progress)
    layer = layer_of(path, "", "")
    table = pyogrio.read_arrow(layer.address, layer=layer.name, read_geometry=False, **layer.options)[1]
    table = table.take(pa.array([int(number) - 1 for number in zones.names]))
    named = Zones(_names(table, field, path) or zones.names, zones.shapes)
    _check_apart(named, path)
    columns = _columns(table, field, legend, path, progress)
    statistic = np.full((len(named), len(legend.codes)), np.nan)
    for k, column in columns.items():
        statistic[:, k] = _numbers(table, column, named.names, path)
    statistic *= 0.01 if unit == "percent" else 1.0
    found = Districts(path, named, statistic, unit, legend)
    if unit != "ha":
        found.check_sums(statistic)
    return found


def _names(table: Any, field: str, path: Path) -> tuple[str, ...]:
    """Return the names of the districts; none without a field."""
    if not field:
        return ()
    if field not in table.column_names:
        hint = did_you_mean(field, table.column_names)
        raise FinishError(f"{path} has no field '{field}' (--name).{hint} Its fields: {', '.join(table.column_names)}.")
    names = tuple(plain(value) for value in table[field].to_pylist())
    if "" in names:
        raise FinishError(
            f"{path}: {quantity(names.count(''), 'district', 'has', 'have')} no name in the field '{field}'. Fill it in."
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise FinishError(
            f"{path}: {names.count(twice[0])} districts are called '{twice[0]}' (field '{field}'). Make one multipolygon of the "
            "parts of a district, or choose another --name."
        )
    return names


def _check_apart(zones: Zones, path: Path) -> None:
    """Check that districts do not overlap by more than rough borders."""
    first, second, part = overlapping(zones)
    if (part > OVERLAP).any():
        k = int(part.argmax())
        raise FinishError(
            f"{path}: districts '{zones.names[first[k]]}' and '{zones.names[second[k]]}' overlap: {100 * part[k]:.1f} % of the "
            f"smaller one ({int((part > OVERLAP).sum())} such pairs). Give districts that share borders only."
        )


def _columns(table: Any, field: str, legend: Legend, path: Path, progress: Progress) -> dict[int, str]:
    """Return position of the class → field with its statistic; report fields that are nearly named as a class."""
    known = {plain(name).casefold(): k for k, name in enumerate(legend.names)}
    known |= {str(code): k for k, code in enumerate(legend.codes)}
    found: dict[int, str] = {}
    others = [name for name in table.column_names if name != field]
    for name in [one for one in others if plain(one).casefold() in known]:
        k = known[plain(name).casefold()]
        if k in found:
            raise FinishError(f"{path}: the fields '{found[k]}' and '{name}' are both of the class {legend.names[k]}.")
        found[k] = name
    rest = [name for name in others if name not in found.values()]
    if not found:
        hint = next((h for h in (did_you_mean(name, legend.names) for name in rest) if h), "")
        raise FinishError(
            f"{path} has no field of a class.{hint} Name a numeric field as a class or its code: "
            f"{_listed([f'{n} ({c})' for n, c in zip(legend.names, legend.codes, strict=True)])}. Its fields: {_listed(rest)}."
        )
    free = [name.casefold() for k, name in enumerate(legend.names) if k not in found]
    for name in rest:
        if nearest(name.casefold(), free):
            progress.say(
                f"{path.name}: field '{name}' is no class.{did_you_mean(name.casefold(), free)} It is not used."
            )
    return found


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (", …" if len(names) > 20 else "") if names else "none"


def _numbers(table: Any, field: str, names: Sequence[str], path: Path) -> NDArray[np.float64]:
    """Return the values of a field (N,); NaN where they are missing."""
    column = table[field]
    numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)
    if not numeric and column.null_count < len(column):
        shown = next(value for value in column.to_pylist() if value is not None)
        raise FinishError(
            f"{path}: field '{field}' has the value {str(shown)!r}, and must be a numeric field. Convert it, or rename it "
            "if it is no statistic."
        )
    missing = np.array(column.is_null().to_pylist(), bool)
    values = np.array([np.nan if value is None else float(value) for value in column.to_pylist()])
    wrong = ~missing & ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        k = int(np.argmax(wrong))
        raise FinishError(
            f"{path}: district '{names[k]}': {field} is {values[k]:g}. Give 0 or more, or leave the value empty: then the class "
            "has no statistic there."
        )
    return values
