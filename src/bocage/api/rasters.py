"""Arrays that are read tile by tile when they are computed, with the coordinates of their grid."""

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
from dask.delayed import delayed
from numpy.typing import NDArray
from odc.geo.xr import xr_coords

from bocage.errors import GridError
from bocage.grid import Grid, Window

TILE = 1024
"""Side of a tile, in pixels."""
Place = Window | tuple[int, int, int, int]
"""Window of a grid: row and column of its corner, height, width."""


def window_of(place: Place | None, grid: Grid) -> Window:
    """Return the window of a grid that a user names; None for the whole grid.

    Raises
    ------
    GridError
        The window is not four whole numbers, is empty, or extends beyond the grid.
    """
    if place is None:
        return grid.window
    try:
        window = place if isinstance(place, Window) else Window(*map(operator.index, place))
    except TypeError as error:
        raise GridError(f"A window is four whole numbers (row, column, height, width); found {place!r}.") from error
    if min(window.height, window.width) < 1 or window.clip(grid.shape) != window:
        raise GridError(
            f"The window (row, column, height, width) = {(window.y, window.x, window.height, window.width)} is not inside the "
            f"grid, which has {grid.shape[0]} rows and {grid.shape[1]} columns."
        )
    return window


def lazy(
    read: Callable[[Window], NDArray[Any]], window: Window, leading: tuple[int, ...], dtype: np.dtype[Any]
) -> da.Array:
    """Return the array (leading …, y, x) of a window; each tile is read when it is computed.

    Parameters
    ----------
    read
        Function that returns the values of a window.
    leading
        Sizes of the dimensions before y and x.
    """

    def tile(y: int, x: int) -> da.Array:
        height, width = min(TILE, window.height - y), min(TILE, window.width - x)
        work = partial(read, Window(window.y + y, window.x + x, height, width))
        block: da.Array = da.from_delayed(  # type: ignore[no-untyped-call]
            delayed(work, pure=False)(), (*leading, height, width), dtype
        )
        return block

    columns = range(0, window.width, TILE)
    tiles = [[tile(y, x) for x in columns] for y in range(0, window.height, TILE)]
    joined: da.Array = da.block(tiles)  # type: ignore[no-untyped-call]
    return joined


def ground_coords(grid: Grid, window: Window) -> dict[str, Any]:
    """Return the coordinates y, x (pixel centres) and ``spatial_ref`` (CRS, as rioxarray and odc-geo read it)."""
    coords = xr_coords(grid.crop(window).geobox, dims=("y", "x"))
    return {str(name): values for name, values in coords.items()}
