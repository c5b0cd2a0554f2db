"""Where a map is wanted: polygons of a vector file; elsewhere nothing is computed."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FieldError
from rasterio.features import geometry_mask
from rasterio.warp import transform_geom

from bocage.errors import MappingError
from bocage.grid import Grid, Window

_ALONE = threading.Lock()
"""rasterio silences a warning of its own while it rasterises, for all threads; two at a time undo each other's silence."""


@dataclass(frozen=True)
class Region:
    """A shape on a map's grid, in its CRS."""

    shape: Any
    """A shapely geometry."""

    def touches(self, grid: Grid, window: Window) -> bool:
        """Whether any of a window may lie inside."""
        return bool(shapely.intersects(self.shape, shapely.box(*grid.crop(window).bounds)))

    def inside(self, grid: Grid, window: Window) -> NDArray[np.bool_]:
        """Pixels (height, width) whose centre lies inside."""
        target = grid.crop(window)
        west, south, east, north = target.bounds
        margin = target.resolution
        near = shapely.clip_by_rect(self.shape, west - margin, south - margin, east + margin, north + margin)
        if near.is_empty:
            return np.zeros(target.shape, bool)
        with _ALONE:
            return np.asarray(geometry_mask([near], target.shape, target.transform, invert=True))

    def describe(self) -> str:
        """What it is, byte for byte."""
        return str(shapely.to_wkb(self.shape, hex=True))


def read_region(path: Path, where: str, grid: Grid) -> Region:
    """Read the polygons of a vector file, those that an SQL condition chooses where `where` is not empty.

    Raises
    ------
    MappingError
        The file cannot be read, has no CRS, holds no polygon, or none that lies on the map.
    """
    try:
        meta, _, wkb, _ = pyogrio.raw.read(path, where=where or None, columns=[])
    except (DataSourceError, DataLayerError, FieldError, ValueError) as error:
        raise MappingError(f"[map] region {path} cannot be read: {error}; check the path and 'where'.") from error
    if not meta["crs"]:
        raise MappingError(f"[map] region {path} has no coordinate reference system; give it one.")
    chosen = f" where {where}" if where else ""
    polygons = _polygons(shapely.from_wkb(wkb), str(meta["crs"]), grid)
    if not polygons:
        raise MappingError(f"[map] region {path} has no polygon{chosen}; found {len(wkb)} features.")
    region = Region(shapely.union_all(polygons))
    if not region.touches(grid, grid.window):
        raise MappingError(
            f"[map] region {path}{chosen} lies outside the map ({grid.bounds} in {grid.crs_name}); it covers "
            f"{tuple(region.shape.bounds)} there."
        )
    return region


def _polygons(shapes: Sequence[Any], crs: str, grid: Grid) -> list[Any]:
    """Bring valid polygons, parts of collections included, to the CRS of the grid."""
    there = [shape for shape in shapes if shape is not None and not shape.is_empty]
    moved = [shapely.geometry.shape(transform_geom(crs, grid.crs.to_wkt(), shape)) for shape in there]
    parts = [part for shape in moved for part in shapely.get_parts(shapely.make_valid(shape))]
    return [part for part in parts if shapely.get_dimensions(part) == 2]
