"""Parts of raster files for the screen: read with rio-tiler, painted, written as PNG."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.errors import RasterioError
from rio_tiler.colormap import cmap
from rio_tiler.errors import RioTilerError
from rio_tiler.io import Reader

from bocage.errors import SourceError
from bocage.grid import Grid


def part(
    path: Path, bands: tuple[int, ...], grid: Grid, resampling: str, nodata: float | None = None
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read bands of a file onto a grid; overviews are used if the grid is coarser.

    Parameters
    ----------
    nodata
        Value without data; None for that of the file.

    Returns
    -------
    values : (band, y, x), the file's dtype
    valid : (band, y, x); False outside the file and where the band has no data

    Raises
    ------
    SourceError
        The file is missing or cannot be read.
    """
    crs = grid.crs.to_wkt()
    options: Any = {} if nodata is None else {"nodata": nodata}
    try:
        with Reader(str(path), options=options) as reader:
            found = reader.part(
                grid.bounds, dst_crs=crs, bounds_crs=crs, indexes=bands, height=grid.shape[0], width=grid.shape[1],
                resampling_method=resampling,
            )  # fmt: skip
    except (RasterioError, RioTilerError, OSError) as error:
        why = " ".join(str(error).split()).rstrip(".")
        raise SourceError(f"{path} cannot be read: {why}. It may have been moved or replaced.") from error
    return np.asarray(found.array.data), ~np.ma.getmaskarray(found.array)


def ramp(values: NDArray[Any], valid: NDArray[np.bool_], high: float, colors: str) -> NDArray[np.uint8]:
    """Return RGBA (y, x, 4) of values from 0 to `high` in a colour map of rio-tiler; transparent where not valid."""
    table = np.array([cmap.get(colors)[k] for k in range(256)], np.uint8)
    painted = table[np.clip(values * (255 / high), 0, 255).astype(np.uint8)]
    painted[~valid] = 0
    return painted


def png(rgba: NDArray[np.uint8]) -> bytes:
    """Return an image (y, x, 4) as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(rgba).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
