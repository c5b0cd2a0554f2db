"""Region of the map: polygons of a vector file. Nothing is computed outside them."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo import CRS
from pyogrio.errors import DataLayerError, DataSourceError, FieldError
from rasterio.features import geometry_mask

from bocage.errors import MappingError, SourceError
from bocage.grid import Grid, Window
from bocage.mapping.settings import Mapping
from bocage.scene import Scene
from bocage.sources.partition import beside_centres, clipped, moved
from bocage.vectorfile import features_of, layer_of, shapes_of

TILE = 1024
"""Side of the windows that are searched for a pixel of the region, in map pixels."""
SHORT = 30
"""Number of characters up to which a CRS is named in a message: a code, not a WKT."""
LEAST = 0.001
"""Smallest share of the region outside the map that is reported."""

_ALONE = threading.Lock()
"""One thread rasterises at a time: rasterio suppresses a warning for all threads meanwhile, and two calls would interfere."""


@dataclass(frozen=True)
class Region:
    """A geometry in the CRS of the map's grid."""

    shape: Any
    """A shapely geometry."""
    remarks: tuple[str, ...] = ()
    """What a user may not expect: another CRS, a part outside the map."""

    def touches(self, grid: Grid, window: Window) -> bool:
        """Return whether a window intersects the region."""
        return bool(shapely.intersects(self.shape, shapely.box(*grid.crop(window).bounds)))

    def inside(self, grid: Grid, window: Window) -> NDArray[np.bool_]:
        """Return the pixels (height, width) whose centre is inside the region."""
        target = grid.crop(window)
        west, south, east, north = target.bounds
        margin = target.resolution
        near = clipped(self.shape, (west - margin, south - margin, east + margin, north + margin))
        if near.is_empty:
            return np.zeros(target.shape, bool)
        with _ALONE:
            return np.asarray(geometry_mask([near], target.shape, beside_centres(target), invert=True))

    def around(self, grid: Grid) -> Window:
        """Return the smallest window of the grid that contains the region."""
        west, south, east, north = self.shape.bounds
        to = grid.transform
        rows, columns = (
            sorted((y - to.f) / to.e for y in (south, north)),
            sorted((x - to.c) / to.a for x in (west, east)),
        )
        top, left, bottom, right = floor(rows[0]), floor(columns[0]), ceil(rows[1]), ceil(columns[1])
        return Window(top, left, bottom - top, right - left).clip(grid.shape)

    def contains(self, grid: Grid, row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether the centre of each pixel is inside the region; arrays of one shape."""
        shapely.prepare(self.shape)
        to = grid.transform
        return np.asarray(shapely.contains_xy(self.shape, to.c + to.a * (column + 0.5), to.f + to.e * (row + 0.5)))

    def describe(self) -> str:
        """Return the exact geometry, as hexadecimal WKB."""
        return str(shapely.to_wkb(self.shape, hex=True))


def region_of(settings: Mapping, scene: Scene) -> Region | None:
    """Read the region of a map of the scene; None without one, and for a table, which has no map."""
    if settings.region is None or scene.ids is not None:
        return None
    return read_region(settings.region, settings.region_layer, settings.where, scene.grid)


def read_region(path: Path, layer: str, where: str, grid: Grid) -> Region:
    """Read the polygons of a layer, or of the only layer; `where`, if not empty, is an SQL condition that selects polygons.

    Raises
    ------
    MappingError
        The file cannot be read, has several layers, no CRS or no polygon, or no polygon contains the centre of a pixel of the
        map.
    """
    try:
        found = layer_of(path, layer, "region_layer of [map], or map --region-layer")
        crs, wkb, _ = features_of(found, where=where)
    except LookupError as error:
        raise MappingError(f"[map] region {error}") from error
    except (DataSourceError, DataLayerError, FieldError, ValueError) as error:
        raise MappingError(f"[map] region {path} cannot be read: {error}. Check the path and 'where'.") from error
    if not crs:
        raise MappingError(f"[map] region {path}: no CRS. Set one, for example with ogr2ogr -a_srs.")
    chosen = f" where {where}" if where else ""
    shapes = shapes_of(wkb)
    try:
        polygons = moved([shape for shape in shapes if shape is not None], crs, grid)
    except SourceError as error:
        raise MappingError(f"[map] region {path}: {error}") from error
    if not polygons:
        raise MappingError(
            f"[map] region {path} has no polygon{chosen}; found {len(wkb)} features. Give polygons with an area and finite "
            "coordinates."
        )
    shape = shapely.union_all(polygons)
    remarks = list(_remarks(f"region {path}{chosen}", crs, shape, grid))
    if lost := int(shapely.is_missing(shapes).sum()):
        remarks.append(
            f"{lost} of {len(wkb)} features of the region {path} have no finite coordinates and are left out."
        )
    region = Region(shape, tuple(remarks))
    _check_inside(region, f"region {path}{chosen}", grid)
    return region


def _check_inside(region: Region, name: str, grid: Grid) -> None:
    """Check that a region contains the centre of a pixel of the map.

    Raises
    ------
    MappingError
        It contains none.
    """
    if not region.touches(grid, grid.window):
        raise MappingError(
            f"[map] {name} is outside the map. Bounds of the map in {grid.crs_name}: {grid.bounds}; bounds of "
            f"the region: {tuple(region.shape.bounds)}."
        )
    if not any(region.inside(grid, window).any() for window in grid.tiles(TILE) if region.touches(grid, window)):
        raise MappingError(
            f"[map] {name} contains no pixel centre of the map. Give polygons larger than a pixel "
            f"({grid.resolution:g} in {grid.crs_name})."
        )


def _remarks(name: str, crs: str, shape: Any, grid: Grid) -> Iterator[str]:
    if CRS(crs) != grid.crs:
        yield f"The {name} is reprojected from {crs if len(crs) < SHORT else 'its CRS'} to {grid.crs_name}."
    outside = 1 - shapely.area(shapely.intersection(shape, shapely.box(*grid.bounds))) / shapely.area(shape)
    if outside > LEAST:
        yield f"{outside:.1%} of the {name} is outside the map and is not mapped."
