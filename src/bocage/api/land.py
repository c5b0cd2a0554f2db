"""Maps in Python: rasters and vectors."""

from dataclasses import dataclass
from functools import partial

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bocage.api.display import chips, picture, section, table
from bocage.api.rasters import Place, ground_coords, lazy, window_of
from bocage.errors import MappingError
from bocage.grid import Window
from bocage.layout import FinishLayout
from bocage.mapping import Areas, Delivered
from bocage.report import figures
from bocage.shelf import did_you_mean
from bocage.sources.raster import inspect
from bocage.words import percent, words_of


@dataclass(frozen=True)
class LandCover:
    """A complete map on disk."""

    delivered: Delivered
    title: str
    language: str = "en"

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that can be read: those in the format "cog"."""
        return tuple(sorted(path.stem for path in self.delivered.layout.layers if path.suffix == ".tif"))

    def to_xarray(self, layer: str = "classes", window: Place | None = None) -> xr.DataArray:
        """Return a layer as a lazy array (y, x), or (band, y, x) if it has several bands.

        The layer "classes" has the legend in its attributes: ``flag_values`` (codes) and ``flag_meanings`` as in the CF
        conventions, ``class_names`` and ``class_colors`` in the order of the codes. The layer "sets" has ``flag_masks``, the
        value of the bit of each class, and ``class_names``, if its classes share a band. Attributes ``nodata`` and
        ``_FillValue``: value of pixels without data.

        Parameters
        ----------
        layer
            Name of the layer: "classes", "confidence", ….
        window
            Row and column of the corner, height and width, in pixels; default: the whole map.

        Raises
        ------
        MappingError
            The map has no such layer.
        GridError
            The window is not inside the map.
        """
        path, grid = self.delivered.path(layer), self.delivered.grid
        if layer not in self.layers:
            known = f"{did_you_mean(layer, self.layers)} The layers are: {', '.join(self.layers)}."
            raise MappingError(f"{self.delivered.folder}: no layer is called '{layer}'.{known}")
        info, place = inspect(path), window_of(window, grid)
        values = lazy(partial(self._read, layer, info.count), place, (info.count,), np.dtype(info.dtype))
        legend = self._legend() if layer == "classes" else self._bits() if layer == "sets" and info.count == 1 else {}
        nodata = np.dtype(info.dtype).type(info.nodata or 0).item()
        attrs = {"nodata": nodata, "_FillValue": nodata} | legend
        coords = ground_coords(grid, place)
        if info.count == 1:
            return xr.DataArray(values[0], coords, ("y", "x"), layer, attrs)
        bands = [text or str(k) for k, text in enumerate(info.descriptions, start=1)]
        return xr.DataArray(values, {"band": bands, **coords}, ("band", "y", "x"), layer, attrs)

    def table(self) -> pd.DataFrame:
        """Return code, name, colour, pixels, hectares and share of the mapped area (0 to 1) of each class."""
        legend, areas = self.delivered.legend, self._areas
        return pd.DataFrame(
            {
                "code": legend.codes,
                "class": legend.names,
                "color": legend.colors,
                "pixels": areas.pixels,
                "hectares": areas.hectares,
                "share": areas.shares,
            }
        ).set_index("code")

    @property
    def _areas(self) -> Areas:
        return self.delivered.areas()

    def _read(self, layer: str, count: int, window: Window) -> NDArray[np.generic]:
        nodata, grid = int(inspect(self.delivered.path(layer)).nodata or 0), self.delivered.grid
        return np.stack([self.delivered.read(layer, grid, window, nodata, band + 1) for band in range(count)])

    def _legend(self) -> dict[str, object]:
        legend = self.delivered.legend
        meanings = " ".join("_".join(name.split()) for name in legend.names)
        return {
            "flag_values": list(legend.codes), "flag_meanings": meanings, "class_names": list(legend.names),
            "class_colors": list(legend.colors),
        }  # fmt: skip

    def _bits(self) -> dict[str, object]:
        """Return the bit of each class in the layer "sets"."""
        names = self.delivered.legend.names
        return {"flag_masks": [1 << bit for bit in range(len(names))], "class_names": list(names)}

    def _repr_html_(self) -> str:
        """Return a quicklook of the classes, with the legend and the share of each class."""
        legend = self.delivered.legend
        rows = zip(legend.codes, legend.names, self._areas.shares, strict=True)
        texts = [f"{code} {name} – {percent(share, self.language)}" for code, name, share in rows]
        drawn = figures.map_picture(self.delivered.path("classes"), legend)
        return section(self.title, picture(drawn, words_of(self.language)["alt_map"]), chips(legend.colors, texts))


@dataclass(frozen=True)
class Vectors:
    """Results of ``bocage finish``: the polygons of a map, and its areas by zone."""

    layout: FinishLayout
    title: str

    def polygons(self) -> gpd.GeoDataFrame:
        """Return the polygons of the map.

        Raises
        ------
        MappingError
            ``[finish] formats`` of the recipe is empty.
        """
        found = [path for path in self.layout.all_polygons if path.exists()]
        if not found:
            raise MappingError(
                f'{self.layout.path} has no polygons. Set [finish] formats in the recipe, for example ["gpkg"].'
            )
        parquet = self.layout.polygons("parquet")
        return gpd.read_parquet(parquet) if parquet in found else gpd.read_file(found[0], engine="pyogrio")

    def zones(self) -> gpd.GeoDataFrame:
        """Return the area of each class in each zone.

        Raises
        ------
        MappingError
            ``[finish] zones`` of the recipe is not set.
        """
        path = self.layout.zones("parquet")
        if not path.exists():
            raise MappingError(f"{self.layout.path} has no zones. Set [finish] zones in the recipe to a vector file.")
        return gpd.read_parquet(path)

    def _repr_html_(self) -> str:
        """Return the first polygons."""
        head = pd.DataFrame(self.polygons().head()).drop(columns="geometry")
        return section(self.title, table(head))
