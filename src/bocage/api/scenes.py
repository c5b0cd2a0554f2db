"""The imagery of a recipe in Python."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bocage.api.display import paragraph, picture, section, table
from bocage.api.rasters import Place, ground_coords, lazy, window_of
from bocage.errors import SourceError
from bocage.grid import Window
from bocage.report import figures
from bocage.report.imagery import composite, reduced
from bocage.scene import Cube, Scene
from bocage.shelf import did_you_mean
from bocage.words import words_of

LONGEST = 400
"""Longer side of a quicklook, in pixels of the reduced grid."""


@dataclass(frozen=True)
class Imagery:
    """The sources of a recipe, each on its own grid nested in the grid of the map."""

    scene: Scene
    title: str
    language: str = "en"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sources."""
        return tuple(self.scene.cubes)

    def to_xarray(self, name: str, window: Place | None = None) -> xr.DataArray:
        """Return a source as a lazy float32 array (time, band, y, x), prepared as the recipe says; NaN where masked.

        For a table of samples, the dimensions are (time, band, sample).

        Parameters
        ----------
        name
            Name of the source.
        window
            Row and column of the corner, height and width in pixels of the grid of the source; default: the whole grid.

        Raises
        ------
        SourceError
            No source has this name.
        GridError
            The window is not inside the grid.
        """
        cube = self._cube(name)
        place = window_of(window, cube.grid)
        shape = (len(cube.days), len(cube.bands))
        values = lazy(partial(_values, cube), place, shape, np.dtype(np.float32))
        coords: dict[str, Any] = {"time": _times(cube), "band": list(cube.bands)}
        if cube.source.ids is not None:
            coords |= {"sample": list(cube.source.ids[place.y : place.y + place.height])}
            return xr.DataArray(values[..., 0], coords, ("time", "band", "sample"), name)
        return xr.DataArray(values, coords | ground_coords(cube.grid, place), ("time", "band", "y", "x"), name)

    def table(self) -> pd.DataFrame:
        """Return bands, number of dates, first and last date, and grid of each source."""
        return pd.DataFrame({name: _described(cube) for name, cube in self.scene.cubes.items()}).T.rename_axis("source")

    def _cube(self, name: str) -> Cube:
        if name not in self.scene.cubes:
            known = f"{did_you_mean(name, self.names)} The sources are: {', '.join(self.names)}."
            raise SourceError(f"No source is called '{name}'.{known}")
        return self.scene.cubes[name]

    def _repr_html_(self) -> str:
        """Return the table of the sources, and a quicklook of each."""
        if self.scene.ids is not None:
            return section(self.title, table(self.table()))
        looks = (self._quicklook(cube) for cube in self.scene.cubes.values())
        return section(self.title, table(self.table()), *looks)

    def _quicklook(self, cube: Cube) -> str:
        rgb, bands = composite(cube.source, reduced(cube.grid, LONGEST))
        shown = words_of(self.language)["alt_imagery"].format(source=cube.name, bands=", ".join(dict.fromkeys(bands)))
        return paragraph(f"{cube.name}: {', '.join(dict.fromkeys(bands))}") + picture(figures.image(rgb), shown)


def _values(cube: Cube, window: Window) -> NDArray[np.float32]:
    block = cube.read(window)
    return np.where(block.valid[:, None], block.values, np.float32(np.nan))


def _times(cube: Cube) -> Any:
    """Return the dates of a cube, or positions from 0 if its source is not dated."""
    if not cube.source.dated:
        return np.arange(len(cube.days))
    return cube.days.astype("datetime64[D]").astype("datetime64[ns]")


def _described(cube: Cube) -> dict[str, Any]:
    times = _times(cube)
    first, last = (str(times[i])[:10] if cube.source.dated else "" for i in (0, -1))
    return {
        "bands": ", ".join(cube.bands), "dates": len(times), "first": first, "last": last, "grid": str(cube.grid),
    }  # fmt: skip
