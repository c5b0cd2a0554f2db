"""Where pixels are: the map's grid, grids nested in it, and windows with their halo.

Space is always ``y, x``. A grid is axis-aligned, with rows running from north to south.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from affine import Affine
from odc.geo.geobox import GeoBox

from bocage.errors import GridError

SNAP = 1e-3
"""Two grids agree where their corners differ by less than this share of a pixel."""
BLOCK = 1024
"""Pixels a side of the squares in which a scene is gone through."""
DEGREE = 111_320.0
"""Metres of a degree of latitude, about."""


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels; it may reach outside its grid.

    >>> Window(0, 0, 4, 6).pad(1, 2)
    Window(y=-1, x=-1, height=7, width=9)
    """

    y: int
    x: int
    height: int
    width: int

    def pad(self, before: int, after: int) -> "Window":
        """Grow by `before` pixels above and left, and `after` pixels below and right."""
        grow = before + after
        return Window(self.y - before, self.x - before, self.height + grow, self.width + grow)

    def clip(self, shape: tuple[int, int]) -> "Window":
        """Return the part inside a raster of `shape` (height, width); its size may be 0."""
        y0, x0 = min(max(self.y, 0), shape[0]), min(max(self.x, 0), shape[1])
        y1, x1 = min(max(self.y + self.height, y0), shape[0]), min(max(self.x + self.width, x0), shape[1])
        return Window(y0, x0, y1 - y0, x1 - x0)

    def clip_to(self, other: "Window") -> "Window":
        """Return the part that lies in another window; its size may be 0.

        >>> Window(2, 2, 4, 4).clip_to(Window(0, 4, 3, 9))
        Window(y=2, x=4, height=1, width=2)
        """
        inside = Window(self.y - other.y, self.x - other.x, self.height, self.width).clip((other.height, other.width))
        return Window(inside.y + other.y, inside.x + other.x, inside.height, inside.width)

    @property
    def corner(self) -> str:
        """Row and column of its first pixel: its name among the windows of a tiling.

        >>> Window(256, 0, 64, 64).corner
        '256,0'
        """
        return f"{self.y},{self.x}"

    @property
    def slices(self) -> tuple[slice, slice]:
        """Slices of this window in an array that covers the whole grid."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    def within(self, outer: "Window") -> tuple[slice, slice]:
        """Slices of this window in an array that covers `outer`."""
        y, x = self.y - outer.y, self.x - outer.x
        return slice(y, y + self.height), slice(x, x + self.width)


@dataclass(frozen=True)
class Ratio:
    """How a source's pixels nest in the map's: `finer` of them per map pixel, or one per `coarser` map pixels.

    One of the two is 1.
    """

    finer: int = 1
    coarser: int = 1

    def grid(self, target: "Grid") -> "Grid":
        """Return the nested grid: it shares the corner of `target` and covers all of it."""
        if self.finer > 1:
            height, width = (n * self.finer for n in target.shape)
        else:
            height, width = (math.ceil(n / self.coarser) for n in target.shape)
        scale = self.coarser / self.finer
        return Grid.of(target.crs, target.transform @ Affine.scale(scale), (height, width))

    def window(self, window: Window) -> Window:
        """Return the smallest window of the nested grid that covers a `window` of the map."""
        f, c = self.finer, self.coarser
        y0, x0 = (window.y * f) // c, (window.x * f) // c
        y1 = math.ceil((window.y + window.height) * f / c)
        x1 = math.ceil((window.x + window.width) * f / c)
        return Window(y0, x0, y1 - y0, x1 - x0)

    def __str__(self) -> str:
        return f"{self.finer} per map pixel" if self.finer > 1 else f"1 per {self.coarser} map pixels"


@dataclass(frozen=True)
class Grid:
    """The pixels of a raster: coordinate reference system, transform and shape, held by an odc-geo GeoBox.

    >>> grid = Grid.of("EPSG:32740", Affine(10, 0, 300000, 0, -10, 7650000), (20, 30))
    >>> grid.shape, grid.resolution
    ((20, 30), 10.0)
    """

    geobox: GeoBox

    @classmethod
    def of(cls, crs: Any, transform: Affine, shape: tuple[int, int]) -> "Grid":
        """Make a grid from its three parts.

        Raises
        ------
        GridError
            The grid is rotated, has no CRS, no pixel, or pixels that are not square.
        """
        if crs is None or str(crs) in ("", "None"):
            raise GridError("A grid needs a coordinate reference system; none was given.")
        if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
            raise GridError(f"A grid must be axis-aligned with north up; found the transform {tuple(transform)[:6]}.")
        if not math.isclose(transform.a, -transform.e, rel_tol=1e-3):
            raise GridError(f"A grid needs square pixels; found {transform.a} by {-transform.e}.")
        if min(shape) < 1:
            raise GridError(f"A grid needs at least one pixel; found {shape[0]} rows and {shape[1]} columns.")
        return cls(GeoBox(shape, transform, crs))

    @classmethod
    def from_bounds(cls, crs: str, resolution: float, bounds: tuple[float, float, float, float]) -> "Grid":
        """Make the grid of `resolution` (CRS units) that starts at the north-west corner of `bounds` and covers them."""
        west, south, east, north = bounds
        if east <= west or north <= south:
            raise GridError(f"Bounds go west, south, east, north; found {bounds}, which enclose nothing.")
        if resolution <= 0:
            raise GridError(f"The resolution must be positive; found {resolution}.")
        shape = (math.ceil((north - south) / resolution - SNAP), math.ceil((east - west) / resolution - SNAP))
        return cls.of(crs, Affine(resolution, 0, west, 0, -resolution, north), shape)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.geobox.shape[0]), int(self.geobox.shape[1])

    @property
    def transform(self) -> Affine:
        """From pixel (column, row) to CRS coordinates."""
        return self.geobox.transform

    @property
    def crs(self) -> Any:
        """The coordinate reference system."""
        return self.geobox.crs

    @property
    def crs_name(self) -> str:
        """``EPSG:<code>`` where there is one, or else the name in the definition."""
        return f"EPSG:{self.crs.epsg}" if self.crs.epsg else str(self.crs.proj.name)

    @property
    def resolution(self) -> float:
        """Pixel size in CRS units."""
        return float(self.transform.a)

    @property
    def metres(self) -> tuple[float, float]:
        """Height and width of a pixel in metres (of a geographic grid, in its middle)."""
        return tuple(self.resolution * factor for factor in metres_per_unit(self.crs.proj, sum(self.bounds[1::2]) / 2))  # type: ignore[return-value]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in CRS units."""
        west, north = self.transform @ (0, 0)
        east, south = self.transform @ (self.shape[1], self.shape[0])
        return west, south, east, north

    @property
    def window(self) -> Window:
        """The window of the whole grid."""
        return Window(0, 0, *self.shape)

    def crop(self, window: Window) -> "Grid":
        """Return the grid of one window, which may reach outside."""
        moved = self.transform @ Affine.translation(window.x, window.y)
        return Grid.of(self.crs, moved, (window.height, window.width))

    def tiles(self, size: int) -> Iterator[Window]:
        """Windows of `size` pixels a side, row by row; those at the far edges are cut to the grid."""
        for y in range(0, self.shape[0], size):
            for x in range(0, self.shape[1], size):
                yield Window(y, x, min(size, self.shape[0] - y), min(size, self.shape[1] - x))

    def offset_of(self, other: "Grid") -> tuple[float, float]:
        """Row and column, in pixels of this grid, of the north-west corner of `other`."""
        column, row = ~self.transform @ (other.transform @ (0, 0))
        return row, column

    def __str__(self) -> str:
        return f"{self.shape[0]} x {self.shape[1]} pixels of {self.resolution:g} in {self.crs_name}"


def in_blocks(windows: Iterable[Window]) -> list[Window]:
    """Order windows by squares of 1 024 pixels, row by row within each: what one reads and decodes, its neighbours find there.

    Blocks of JPEG 2000 are as large; along whole rows of a scene, they would be decoded again for every row of windows.
    """
    return sorted(windows, key=lambda w: (w.y // BLOCK, w.x // BLOCK, w.y, w.x))


def metres_per_unit(crs: Any, latitude: float) -> tuple[float, float]:
    """Metres that one unit of a CRS (pyproj) makes northwards and eastwards; `latitude` matters for degrees only."""
    if crs.is_geographic:
        return DEGREE, DEGREE * math.cos(math.radians(latitude))
    factor = float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0
    return factor, factor


def nearest_ratio(map_resolution: float, source_resolution: float) -> Ratio:
    """Return the whole ratio nearest to that of two ground sampling distances.

    >>> nearest_ratio(10, 20), nearest_ratio(10, 1.5)
    (Ratio(finer=1, coarser=2), Ratio(finer=7, coarser=1))
    """
    if source_resolution >= map_resolution:
        return Ratio(coarser=max(1, round(source_resolution / map_resolution)))
    return Ratio(finer=max(1, round(map_resolution / source_resolution)))
