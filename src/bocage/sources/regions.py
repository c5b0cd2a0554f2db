"""Regions of a vector file as an image: one band per region, with the weight of the region at each pixel.

A network that has this source among its inputs knows the region of a pixel. The model ``regional`` has a member for each band.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from odc.geo import CRS
from odc.geo.geom import box
from pyogrio.errors import DataLayerError, DataSourceError, FieldError

from bocage.errors import SourceError
from bocage.grid import Grid, Window
from bocage.ranges import Range, check_ranges
from bocage.shelf import did_you_mean
from bocage.sources.base import SensorSpec
from bocage.sources.partition import Gaps, Partition, clipped, moved, place_of, polygons_in
from bocage.sources.raster import fingerprint
from bocage.sources.undated import Undated
from bocage.textfile import identifier
from bocage.vectorfile import features_of, layer_of, repaired, shapes_of, vector_files
from bocage.words import Note, significant

SPEC = SensorSpec("regions", "regions of a vector file, as an image with the weight of each region")
NOMINAL = 1000
"""Number of pixels along the longer side of the regions, before they are laid on the grid of a map."""
SIDES = 256
"""Number of pieces into which a line across the map and its surroundings is divided before it is transformed."""
NEGLIGIBLE = 0.001
"""Largest share of the map in no region that is tolerated by ``gaps = "stop"``."""


@dataclass(frozen=True)
class Settings:
    """Settings of the regions in the recipe."""

    path: Path
    """Path of the vector file: polygons that divide the map, without overlaps or gaps."""
    field: str
    """Field with the name of the region. Polygons of the same name form one region."""
    layer: str = ""
    """Layer of the file; empty: the only layer that has geometries."""
    where: str = ""
    """SQL condition that selects polygons; empty: all."""
    blend: Annotated[float, Range(0, 1e6)] = 0.0
    """Distance from a border, in metres, within which the weights change: linearly from 0 outside the region to 1 inside, 0.5 on
    the border. 0: the weight is 1 inside the region and 0 elsewhere."""
    gaps: Literal["stop", "mask"] = "stop"
    """Places of the map that are in no region. "stop": an error, if they are more than 0.1 % of the map or surrounded by regions.
    "mask": they are masked and reported. Gaps and overlaps narrower than a pixel of the map are always tolerated."""

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class RegionsSource(Undated):
    """Regions, read as an image. Its grid is that of the map, once it is known."""

    name: str
    settings: Settings
    regions: Mapping[str, Any]
    """Name → shapely geometry, in the CRS of the file, in natural order of the names."""
    crs: str
    """CRS of the file."""
    lost: int = 0
    """Number of features without a usable geometry, which are left out."""
    map: Grid | None = None
    """Grid of the map; None before :meth:`over`."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the regions, in the order of the bands."""
        return tuple(self.regions)

    @cached_property
    def bands(self) -> tuple[str, ...]:
        """Names of the regions as letters, digits and underscores."""
        return tuple(identifier(name) for name in self.regions)

    @cached_property
    def grid(self) -> Grid:
        """Grid of the map; before it is known, a nominal grid that covers the regions."""
        if self.map is not None:
            return self.map
        west, south, east, north = shapely.total_bounds(list(self.regions.values())).tolist()
        return Grid.from_bounds(self.crs, max(east - west, north - south) / NOMINAL, (west, south, east, north))

    @property
    def described(self) -> tuple[str, ...]:
        """Text of the settings that the values depend on besides the file; part of the digests."""
        return (repr(replace(self.settings, path=Path())),)

    def over(self, grid: Grid) -> "RegionsSource":
        """Return the regions on the grid of a map.

        Raises
        ------
        SourceError
            Regions overlap, or a part of the map is in no region.
        """
        placed = replace(self, map=grid)
        try:
            raw, gaps = placed.outlines, placed.free
            raw.check_overlaps(grid)
            if self.settings.gaps == "stop" and (gaps.share > NEGLIGIBLE or gaps.enclosed):
                raise SourceError(
                    f"{gaps.share:.2%} of the map is in no region. {placed.largest_gap}. Complete the polygons, or set "
                    'gaps = "mask": these pixels are then not mapped.'
                )
        except SourceError as error:
            raise SourceError(f"Source '{self.name}': {self.settings.path}: {error}") from error
        return placed

    @cached_property
    def notes(self) -> tuple[Note, ...]:
        """Notes on gaps, and on regions outside the map; none before the map is known."""
        if self.map is None:
            return ()
        notes, frame, names = [], shapely.box(*self.grid.bounds), self.names
        if self.lost:
            notes.append(Note.of("regions_unusable", self.name, n=self.lost))
        outside = [name for name, shape in zip(names, self.outlines.shapes, strict=True) if not shape.intersects(frame)]
        if not self.free.area.is_empty:
            pixels = round(self.free.area.area / self.grid.resolution**2)
            share, where = 100 * self.free.share, place_of(self.free.largest, self.grid)
            area = self.outlines.hectares(self.free.largest)
            notes.append(Note.of("regions_gaps", self.name, n=pixels, share=share, area=area, place=where))
        if outside:
            notes.append(
                Note.of("regions_outside", self.name, n=len(outside), total=len(names), regions=tuple(outside))
            )
        return tuple(notes)

    @property
    def largest_gap(self) -> str:
        """The largest gap: place and area."""
        largest = self.free.largest
        area = significant(self.outlines.hectares(largest))
        return f"The largest gap is around {place_of(largest, self.grid)} and has {area} ha"

    @cached_property
    def outlines(self) -> Partition:
        """The regions in the CRS of the map, as they are in the file."""
        grid, (height, width) = self.grid, self.grid.metres
        metres = (height / grid.resolution, width / grid.resolution)
        around = max(*(n * grid.resolution for n in grid.shape), self.settings.blend / min(metres))
        shapes = tuple(_moved(shape, self.crs, grid, around) for shape in self.regions.values())
        return Partition(self.names, shapes, metres)

    @cached_property
    def free(self) -> Gaps:
        """Parts of the map in no region."""
        return self.outlines.gaps(self.grid)

    @cached_property
    def partition(self) -> Partition:
        """The regions in the CRS of the map, without slivers."""
        return self.outlines.without_slivers(self.grid, self.free)

    def nests_in(self, grid: Grid) -> bool:
        """Return True: weights are computed at the pixels of any grid."""
        return True

    def touching(self, grid: Grid, window: Window) -> tuple[int, ...]:
        """Return the number of the only acquisition."""
        return (0,)

    def fingerprints(self, members: tuple[int, ...] | None = None) -> dict[str, str]:
        """Return file path to digest of the vector file and of the files that belong to it."""
        return {str(file): fingerprint(file) for file in vector_files(self.settings.path)} if members != () else {}

    def read(
        self, grid: Grid, window: Window, resampling: str = "nearest"
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:  # fmt: skip
        """Return the weights (1, region, y, x), and valid (1, y, x): False in no region."""
        source = self if self.map is not None else self.over(grid)
        weights = source.partition.weights(grid, window, self.settings.blend)
        return weights[None], (weights.max(0) > 0)[None]

    def near(self, row: NDArray[Any], column: NDArray[Any], distance: float) -> NDArray[np.bool_]:
        """Return whether pixels (N,) of the map are in each region, or at most `distance` metres from it, (N, R)."""
        return self.partition.near(self.grid, row, column, distance)

    def region_of(self, row: NDArray[Any], column: NDArray[Any]) -> NDArray[np.int64]:
        """Return the number of the region of pixels (N,) of the map; -1 in none."""
        inside = self.near(row, column, 0)
        return np.where(inside.any(1), inside.argmax(1), -1)


def open(name: str, settings: Settings) -> RegionsSource:  # noqa: A001 - the name that the interface gives
    """Return the regions of a vector file.

    Raises
    ------
    SourceError
        The file cannot be read or has no CRS, a polygon has no name, or two names are the same without accents and signs.
    """
    path, field = settings.path, settings.field
    try:
        layer = layer_of(path, settings.layer, "'layer'")
        fields = pyogrio.read_info(layer.address, layer=layer.name, **layer.options)["fields"].tolist()
        if field not in fields:
            raise SourceError(
                f"{path} has no field '{field}'.{did_you_mean(field, fields)} The fields are: {', '.join(fields)}."
            )
        crs, wkb, values = features_of(layer, [field], settings.where)
    except LookupError as error:
        raise SourceError(f"{error}") from error
    except (DataSourceError, DataLayerError, FieldError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {error}. Check 'path', 'field' and 'where'.") from error
    if not crs:
        raise SourceError(f"{path}: no CRS. Set one, for example with ogr2ogr -a_srs.")
    shapes = repaired(shapes_of(wkb))
    regions = _regions(path, field, [_text(value) for value in values[field]], shapes)
    lost = sum(not polygons_in([shape]) for shape in shapes)
    return RegionsSource(name, settings, regions, crs, lost)


def _regions(path: Path, field: str, names: list[str], shapes: NDArray[Any]) -> dict[str, Any]:
    """Return name → geometry of each region, in natural order: region 2 before region 10."""
    if unnamed := names.count(""):
        raise SourceError(f"{path}: {unnamed} polygon(s) have no value in the field '{field}'. Fill the field.")
    parts: dict[str, list[Any]] = {name: [] for name in sorted(names, key=_natural)}
    for name, shape in zip(names, shapes, strict=True):
        parts[name] += [] if shape is None else polygons_in([shape])
    if empty := [name for name, found in parts.items() if not found]:
        raise SourceError(
            f"{path}: the region '{empty[0]}' has no polygon with an area and finite coordinates. Give each region one."
        )
    if not parts:
        raise SourceError(f"{path} has no polygon. Check the file and 'where'.")
    bands: dict[str, str] = {}
    for name in parts:
        band = identifier(name)
        if not band or band in bands:
            why = f"are both '{band}'" if band else "is empty"
            both = f"The names '{bands[band]}' and '{name}'" if band else f"The name '{name}'"
            raise SourceError(f"{path}, field '{field}': {both} {why} without accents and signs. Rename one.")
        bands[band] = name
    return {name: shapely.union_all(found) for name, found in parts.items()}


def _text(value: Any) -> str:
    """Return a value of the field as a name: 3.0 as "3"; empty for a missing value."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _moved(shape: Any, crs: str, grid: Grid, around: float) -> Any:
    """Return the part of a geometry around a map, in its CRS; `around` is the distance from the map, in CRS units.

    A projection has no coordinates far from its area. Long sides are divided, because they are not straight in the other CRS.
    """
    if CRS(crs) == grid.crs:
        return shape
    west, south, east, north = grid.bounds
    frame = box(west - around, south - around, east + around, north + around, grid.crs)
    near = frame.to_crs(CRS(crs), resolution="auto").boundingbox
    part = shapely.segmentize(clipped(shape, near.bbox), max(near.span_x, near.span_y) / SIDES)
    return shapely.union_all(moved(polygons_in([part]), crs, grid))
