"""Objects or parcels on the grid of a map: the number of the one that each pixel belongs to."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyogrio
import shapely
from numpy.typing import NDArray

from bocage.errors import FinishError, SourceError
from bocage.finish.zones import Zones, read_zones
from bocage.grid import Grid, Window
from bocage.objects.connected import Codes
from bocage.objects.given import object_numbers
from bocage.objects.scratch import Scratch
from bocage.progress import Progress
from bocage.samples.rasterise import pixels_inside
from bocage.sources.partition import beside_centres
from bocage.sources.placement import nests, touches
from bocage.sources.raster import inspect, is_raster, why_unusable
from bocage.vectorfile import layer_of


@dataclass(frozen=True)
class Parcels:
    """Parcels of a vector file, in the CRS of a map."""

    zones: Zones
    number: NDArray[np.int64]
    """Number of each feature in the file, from 1 (N,)."""
    fields: Any
    """Table (Arrow) of the fields of the file, a row for each parcel."""


@dataclass(frozen=True)
class Within:
    """Numbers of objects or parcels, tile by tile."""

    ids: Codes
    """Number of each pixel's object, above 0; 0: none."""
    parcels: Parcels | None = None
    """The parcels, if the numbers are those of parcels, from 1 in their order; None for a raster of objects."""
    overlaps: int = 0
    """Number of pixels in several parcels; they belong to the first one of the file."""


@dataclass(frozen=True)
class Place:
    """Where objects and parcels are laid."""

    grid: Grid
    """Grid of the map."""
    tile: int
    """Side of the tiles in pixels."""
    scratch: Scratch
    """Folder of temporary rasters."""


def open_within(path: Path, place: Place, progress: Progress) -> Within:
    """Open a raster of object numbers, or a vector file of parcels.

    Raises
    ------
    FinishError
        The file cannot be read, its numbers are not whole, or it is outside the map.
    """
    if not path.exists():
        raise FinishError(
            f"[finish] within: {path} does not exist. Give the path of parcels or of a raster of objects."
        )
    if is_raster(path):
        return _objects(path, place, progress)
    try:
        return _parcels(path, place, progress)
    except FinishError:
        if why := why_unusable(path):
            raise FinishError(f"[finish] within: {why}") from None
        raise


# --- objects
def _objects(path: Path, place: Place, progress: Progress) -> Within:
    info, grid = inspect(path), place.grid
    if info.count != 1 or np.dtype(info.dtype).kind not in "iu":
        raise FinishError(
            f"[finish] within: {path} has {info.count} band(s) of {info.dtype}. Give a raster of one band of whole numbers, the "
            "number of the object of each pixel."
        )
    try:
        apart = not touches(info.grid, grid, grid.window)
    except SourceError as error:
        raise FinishError(f"[finish] within: {path}: {error}") from error
    if apart:
        raise FinishError(
            f"[finish] within: {path} does not overlap the map. Its bounds are {info.grid.bounds} in {info.grid.crs_name}, those "
            f"of the map {grid.bounds} in {grid.crs_name}."
        )
    if nests(info.grid, grid) is None:
        progress.say(
            f"{path.name}: its grid ({info.grid}) is not that of the map ({grid}); each pixel of the map belongs to the object "
            "at its centre."
        )

    return Within(Codes(grid, lambda window: object_numbers(path, grid, window), place.tile))


# --- parcels
@dataclass
class Laying:
    """State while parcels or districts are laid on a grid."""

    shapes: NDArray[Any]
    grid: Grid
    overlaps: int = 0
    tree: Any = field(init=False)

    def __post_init__(self) -> None:
        shapely.prepare(self.shapes)
        self.tree = shapely.STRtree(self.shapes)

    def ids(self, window: Window) -> NDArray[np.uint32]:
        """Return the numbers (from 1) of the parcels that contain the centres of the pixels of a window; 0: none."""
        here, found = self.grid.crop(window), np.zeros((window.height, window.width), np.uint32)
        aside = Grid.of(here.crs, beside_centres(here), here.shape)
        several = np.zeros(found.shape, bool)
        for k in sorted(self.tree.query(shapely.box(*here.bounds)).tolist()):
            row, column = self._inside(k, aside)
            free = found[row, column] == 0
            several[row[~free], column[~free]] = True
            found[row[free], column[free]] = k + 1
        self.overlaps += int(several.sum())
        return found

    def _inside(self, k: int, grid: Grid) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return rows and columns of the pixels of a grid whose centre is in a polygon; one that covers the grid has all."""
        if shapely.covers(self.shapes[k], shapely.box(*grid.bounds)):
            row, column = np.indices(grid.shape)
            return row.ravel(), column.ravel()
        return pixels_inside(self.shapes[k], grid)


def _parcels(path: Path, place: Place, progress: Progress) -> Within:
    """Lay the parcels of a vector file on the grid, tile by tile, in a temporary raster."""
    zones = read_zones(path, "", place.grid, progress)
    number = np.array([int(name) for name in zones.names], np.int64)
    laying, pixels = Laying(zones.shapes, place.grid), np.zeros(len(zones), bool)
    raster = place.scratch.raster("parcels", place.grid.shape, "uint32", place.tile)
    ids = Codes(place.grid, raster.read, place.tile)
    for done, window in enumerate(ids.windows, start=1):
        found = laying.ids(window)
        pixels[np.unique(found[found > 0]) - 1] = True
        raster.write(window, found)
        progress.step("laying parcels", done, len(ids.windows))
    if not pixels.any():
        raise FinishError(
            f"[finish] within: no parcel of {path} contains the centre of a pixel of the map. Bounds of the parcels: "
            f"{tuple(float(v) for v in shapely.total_bounds(zones.shapes))}; bounds of the map: {place.grid.bounds} in "
            f"{place.grid.crs_name}."
        )
    if empty := int((~pixels).sum()):
        progress.say(
            f"{path.name}: {empty} of {len(zones)} parcels have no pixel: they are outside the map, smaller than a pixel, or "
            "under other parcels."
        )
    if laying.overlaps:
        progress.say(
            f"{path.name}: {laying.overlaps} pixels are in several parcels; they belong to the first one in the file."
        )
    return Within(ids, Parcels(zones, number, _fields(path, number)), laying.overlaps)


def _fields(path: Path, number: NDArray[np.int64]) -> Any:
    """Return the fields of the features `number` of a vector file that can be read."""
    layer = layer_of(path, "", "")
    _, table = pyogrio.read_arrow(layer.address, layer=layer.name, read_geometry=False, **layer.options)
    return table.take(pa.array(number - 1))
