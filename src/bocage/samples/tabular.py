"""Reference tables (CSV, Parquet): coordinates in columns, as well-known text (WKT), GeoJSON, or two numbers."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from bocage.errors import SamplesError, SourceError
from bocage.grid import WGS84
from bocage.samples.vector import as_text
from bocage.shelf import did_you_mean
from bocage.sources.table import read_table, texts
from bocage.vectorfile import PARQUET

TABLES = (".csv", ".tsv", ".txt", *PARQUET)
"""Endings of the names of tables."""
SHAPES = ("wkt", "wkt_geom", "geometry", "geom", "the_geom", ".geo")
"""Names of a column of geometries, in lower case."""
DEGREES = (
    ("longitude", "latitude"), ("lon", "lat"), ("long", "lat"), ("lng", "lat"), ("decimallongitude", "decimallatitude"),
    ("th_long", "th_lat"), ("point_long", "point_lat"), ("gps_long", "gps_lat"),
)  # fmt: skip
"""Names of two columns of degrees in WGS 84."""
NUMBERS = (
    ("x", "y"), ("x_coord", "y_coord"), ("xcoord", "ycoord"), ("coord_x", "coord_y"), ("point_x", "point_y"),
    ("easting", "northing"),
)  # fmt: skip
"""Names of two columns of coordinates in a CRS that the table does not give."""
IN_DEGREES = r"_?(wgs_?84|4326|epsg_?4326|deg(rees)?|dd)"
"""Ending of the names of columns of degrees, as in ``longitude_wgs84``."""


def features_of(path: Path, geometry: Sequence[str]) -> gpd.GeoDataFrame:
    """Read a table as features. Every column of a CSV file is text; empty cells are missing.

    Parameters
    ----------
    path
        The table.
    geometry
        Column of the geometries, or columns of x and y; empty: they are recognised by their names.

    Returns
    -------
    The features; the geometry of a table without coordinates is missing.
    Their CRS is that of the file (GeoParquet) or WGS 84 (degrees, GeoJSON), else None.

    Raises
    ------
    SamplesError
        The table cannot be read, has no row, lacks a column, or has invalid coordinates.
    """
    if path.suffix.lower() in PARQUET and (features := _geoparquet(path)) is not None:
        return features
    try:
        frame = read_table(path, str)
    except SourceError as error:
        raise SamplesError(str(error)) from error
    if not len(frame):
        raise SamplesError(f"{path} has no row.")
    columns = _columns(frame, tuple(geometry), path)
    shapes, crs = _shapes(frame, columns, path)
    fields = frame.drop(columns=columns[0]) if len(columns) == 1 else frame
    return gpd.GeoDataFrame(fields.apply(_whole), geometry=shapes, crs=crs)


def _geoparquet(path: Path) -> gpd.GeoDataFrame | None:
    """Return the features of a GeoParquet file; None if the file is another one."""
    try:
        return as_text(gpd.read_parquet(path))
    except ValueError:  # no geometries, or no Parquet file, which the reader of tables reports
        return None


def _columns(frame: pd.DataFrame, wanted: tuple[str, ...], path: Path) -> tuple[str, ...]:
    """Return the column of the geometries, or the columns of x and y; empty if the table has none."""
    names = [str(column) for column in frame.columns]
    for name in wanted:
        if name not in names:
            raise SamplesError(
                f"{path} has no column '{name}'.{did_you_mean(name, names)} Its columns: {', '.join(names)}."
            )
    if wanted:
        return wanted[::-1] if tuple(map(_plain, wanted[::-1])) in DEGREES else wanted
    known = {_plain(name): name for name in reversed(names)}
    found = [columns for columns in (*((s,) for s in SHAPES), *DEGREES, *NUMBERS) if all(c in known for c in columns)]
    return tuple(known[column] for column in found[0]) if found else ()


def _plain(name: str) -> str:
    """Return the name of a column in lower case, without the ending of degrees."""
    return re.sub(rf"(?<=[gnte]){IN_DEGREES}$", "", name.lower())


def _shapes(frame: pd.DataFrame, columns: tuple[str, ...], path: Path) -> tuple[NDArray[Any], str | None]:
    """Return the geometry of each row, None where it is missing, and their CRS if it is known."""
    if not columns:
        return np.full(len(frame), None, object), None
    if len(columns) == 2:
        degrees = tuple(map(_plain, columns)) in DEGREES
        return _points(frame, columns, path), WGS84 if degrees else None
    written = frame[columns[0]]
    given = written.notna().to_numpy()
    json = bool(given.any()) and written[given].astype(str).str.lstrip().str.startswith("{").all()
    parse = shapely.from_geojson if json else shapely.from_wkt
    shapes = np.full(len(frame), None, object)
    for row in np.flatnonzero(given):
        try:
            shapes[row] = parse(str(written.iloc[row]))
        except (shapely.errors.GEOSException, ValueError) as error:
            raise SamplesError(
                f"{path}, row {row + 1}: '{str(written.iloc[row])[:40]}' in the column {columns[0]} is no geometry "
                f"({' '.join(str(error).split())[:80]}). Write it as WKT: POINT (2.35 48.85)."
            ) from error
    return shapes, WGS84 if json else None


def _points(frame: pd.DataFrame, columns: tuple[str, ...], path: Path) -> NDArray[Any]:
    pairs = []
    for column in columns:
        numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(float)
        wrong = frame[column].notna().to_numpy() & ~np.isfinite(numbers)
        if wrong.any():
            raise SamplesError(
                f"{path}, row {int(wrong.argmax()) + 1}: '{frame[column][wrong].iloc[0]}' in the column {column} is no "
                "coordinate. Write numbers with a decimal point."
            )
        pairs.append(numbers)
    there = np.isfinite(pairs).all(0)
    shapes = np.full(len(frame), None, object)
    shapes[there] = shapely.points(*(numbers[there] for numbers in pairs))
    return shapes


def _whole(values: pd.Series) -> pd.Series:
    """Return a column of text without ``.0``, which programs write behind whole numbers if a cell of the column is empty."""
    return values if values.dtype.kind in "iufbM" else texts(values).where(values.notna())
