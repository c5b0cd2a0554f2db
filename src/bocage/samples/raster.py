"""Labels that are a raster of class codes, as features."""

from pathlib import Path

import geopandas as gpd

from bocage.errors import SamplesError, SourceError
from bocage.sources.areas import areas_of
from bocage.sources.inventory import SUFFIXES

CODE = "code"
"""Field with the class code."""


def names_raster(path: Path | str) -> bool:
    """Return whether a path has the suffix of a raster, and is no virtual vector file (OGR VRT)."""
    path = Path(path)
    if path.suffix.lower() == ".vrt" and path.is_file():
        return b"<OGRVRT" not in path.read_bytes()[:1000]
    return path.suffix.lower() in SUFFIXES


def features_in_raster(path: Path, band: str = "") -> gpd.GeoDataFrame:
    """Return the areas of equal code of a raster (:func:`bocage.sources.areas.areas_of`), with their code in a field.

    Raises
    ------
    SamplesError
        The raster cannot be used.
    """
    try:
        found = areas_of(path, band)
    except SourceError as error:
        raise SamplesError(str(error)) from error
    return gpd.GeoDataFrame({CODE: found.codes}, geometry=found.polygons, crs=found.crs)
