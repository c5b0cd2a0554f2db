"""Vector files: what GDAL opens for a path, their layers, usable geometries, and the files that they consist of."""

import io
import tempfile
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import pyogrio
import pyogrio.raw
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError

from bocage.shelf import did_you_mean

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

BESIDE = {".shp": (".dbf", ".shx", ".prj", ".cpg"), ".tab": (".dat", ".map", ".id", ".ind"), ".mif": (".mid",)}
"""Ending of a file → those of the files beside it that its content depends on."""
MEMBERS = (".shp", ".gpkg", ".gdb", ".gml", ".geojson", ".json", ".fgb", ".kml", ".sqlite", ".parquet", ".geoparquet")
"""Endings of vector files in an archive."""
PARQUET = (".parquet", ".geoparquet")
"""Endings of GeoParquet files, which the GDAL of pyogrio's wheels does not read."""
COPY = "copy"
"""Layer of the temporary copy of a GeoParquet file."""
ZIPPED = (".kmz", ".ods", ".xlsx")
"""Endings of formats that are zip archives themselves; GDAL opens them as they are."""
ARCHIVES = {b"7z\xbc\xaf\x27\x1c": "7-Zip", b"Rar!\x1a\x07": "RAR"}
"""First bytes of archives that GDAL does not open here → their name."""
GDAL_ERRORS = (DataSourceError, DataLayerError, FeatureError, FieldError, GeometryError)
"""What pyogrio raises where GDAL cannot read or write a file, a layer, a field or a feature."""
INDEXED = (".gpkg", ".sqlite", ".db", ".tab", ".gdb")
"""Endings of formats from which GDAL may read the features of an area, or of a condition, in the order of an index."""
GML = {"WRITE_GFS": "NO", "GML_ATTRIBUTES_TO_OGR_FIELDS": "YES"}
"""GDAL's options for GML: no file is written beside the data, and attributes are fields (INSPIRE has the crop in one)."""


@dataclass(frozen=True)
class VectorLayer:
    """A layer of a vector file, as GDAL opens it."""

    address: str
    """The file; for a zip archive, the vector file inside it; for a GeoParquet file, a temporary copy in another format."""
    name: str
    options: dict[str, str] = field(default_factory=dict)
    """Open options of GDAL."""


def layer_of(path: Path, wanted: str, setting: str) -> VectorLayer:
    """Return the layer to read: the wanted one, or the only one with geometries (QGIS stores styles as a layer without).

    Raises
    ------
    LookupError
        The file has no such layer, or several and none is wanted; `setting` is where the user can name one. Or it is an archive
        with several vector files or with none, or a damaged GeoParquet file.
    """
    address = address_of(path)
    if address.lower().endswith(PARQUET):
        listed: list[tuple[str, str | None]] = [(PurePosixPath(address).stem, "Unknown")]
    else:
        listed = layers_of(address)
    names = [name for name, kind in listed if kind is not None] or [name for name, _ in listed]
    if wanted and wanted not in [name for name, _ in listed]:
        raise LookupError(
            f"{path} has no layer '{wanted}'.{did_you_mean(wanted, names)} Its layers: {', '.join(names)}."
        )
    if not wanted and len(names) > 1:
        raise LookupError(f"{path} has {len(names)} layers: {', '.join(names)}. Name one: {setting}.")
    if address.lower().endswith(PARQUET):
        stat = path.stat()
        return VectorLayer(_copy_of(path, stat.st_mtime_ns, stat.st_size), COPY)
    return VectorLayer(address, wanted or names[0], options_of(address))


def geoparquet(path: Path) -> "GeoDataFrame":
    """Return the features of a GeoParquet file, or of the one in a zip archive.

    Raises
    ------
    LookupError
        The file is damaged, or has no geometries.
    """
    import geopandas as gpd  # takes time, and few files need it

    address = address_of(path)
    try:
        if address == str(path):
            return gpd.read_parquet(path)
        with zipfile.ZipFile(path) as archive:
            return gpd.read_parquet(io.BytesIO(archive.read(address.partition("}/")[2])))
    except (ValueError, TypeError, KeyError, OSError, NotImplementedError) as error:
        what = " ".join(str(error).split()).rstrip(".")
        raise LookupError(
            f"{path} cannot be read as GeoParquet: {what}. Convert it to a GeoPackage, for example with QGIS."
        ) from error


@lru_cache(8)
def _copy_of(path: Path, *_: int) -> str:
    """Return a FlatGeobuf copy of a GeoParquet file, with its features in their order; it lasts as long as the process.

    The other arguments are those by which a file that changed is recognised.
    """
    frame = geoparquet(path)
    frame = frame.drop(columns=frame.columns[frame.dtypes.eq("geometry") & (frame.columns != frame.geometry.name)])
    for name in frame.columns.drop(frame.geometry.name):
        if frame[name].dtype == object or frame[name].dtype == "category":
            frame[name] = frame[name].astype(object).map(_as_text)
    with tempfile.NamedTemporaryFile(dir=_scratch().name, suffix=".fgb", delete=False) as file:
        address = file.name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a file without CRS is reported by the caller
        frame.to_file(address, driver="FlatGeobuf", layer=COPY, engine="pyogrio", SPATIAL_INDEX="NO")
    return address


@cache
def _scratch() -> "tempfile.TemporaryDirectory[str]":
    """Return the folder of temporary copies, which is removed at the end of the process."""
    return tempfile.TemporaryDirectory(prefix="bocage-")


def _as_text(value: Any) -> str | None:
    """Return a value of a field of objects as text; a list is joined by commas, a boolean is 1 or 0."""
    if isinstance(value, np.ndarray | list | tuple):
        return ", ".join(map(str, value))
    if str(value) in ("None", "nan", "<NA>", "NaT"):
        return None
    return str(int(value)) if isinstance(value, bool) else str(value)


def filled_names(names: Sequence[str], numbers: Iterable[int]) -> list[str]:
    """Return the names of features; one without a name is called "unnamed" and its number, which is the name of no other one.

    >>> filled_names(["2", "", "a"], range(1, 4)), filled_names(["unnamed 2", ""], range(1, 3))
    (['2', 'unnamed 2', 'a'], ['unnamed 2', '(unnamed) 2'])
    """
    stem, given = "unnamed", {name for name in names if name}
    invented = {k: number for k, (name, number) in enumerate(zip(names, numbers, strict=True)) if not name}
    while any(f"{stem} {number}" in given for number in invented.values()):
        stem = f"({stem})"
    return [f"{stem} {invented[k]}" if k in invented else name for k, name in enumerate(names)]


def features_of(
    layer: VectorLayer, columns: Sequence[str] = (), where: str = "", **how: Any
) -> tuple[str, NDArray[Any], dict[str, NDArray[Any]]]:
    """Return the CRS of a layer (empty: none), the geometries (WKB) and the fields `columns` of its features, in their order.

    A field that the layer does not have is left out. `where`, if not empty, is an SQL condition; `how` are further settings of
    :func:`pyogrio.raw.read`.
    """
    # With a condition, all fields are read: FlatGeobuf tests only those that are.
    chosen = None if where else list(columns)
    by_index = ("bbox" in how or bool(where)) and layer.address.lower().endswith(INDEXED)
    meta, numbers, wkb, values = pyogrio.raw.read(
        layer.address,
        layer=layer.name,
        where=where or None,
        columns=chosen,
        return_fids=by_index,
        **how,
        **layer.options,
    )
    order: Any = np.argsort(numbers, kind="stable") if by_index else slice(None)
    shapes: Any = wkb if wkb is None else wkb[order]  # geometries may not be asked for
    known = {name: column[order] for name, column in zip(meta["fields"].tolist(), values, strict=True)}
    return str(meta["crs"] or ""), shapes, {name: known[name] for name in columns if name in known}


def layers_of(address: str) -> list[tuple[str, str | None]]:
    """Return name and type of geometry (None: no geometry) of each layer of what GDAL opens."""
    options = options_of(address)
    if not options:
        return [(str(name), kind) for name, kind in pyogrio.list_layers(address)]
    found: list[tuple[str, str | None]] = []
    try:  # pyogrio lists layers without options, and GDAL would then write a .gfs file beside the .gml
        while True:
            info = pyogrio.read_info(address, layer=len(found), **options)
            found.append((str(info["layer_name"]), info["geometry_type"]))
    except DataLayerError:
        if not found:
            raise
    return found


def options_of(address: str) -> dict[str, str]:
    """Return the open options of GDAL for a file."""
    return dict(GML) if address.lower().endswith((".gml", ".xml")) else {}


def address_of(path: Path) -> str:
    """Return what GDAL opens for a file: the file, or the vector file inside a zip archive, whatever the name of the archive.

    Raises
    ------
    LookupError
        It is an archive of another format, or one with several vector files or with none.
    """
    if not path.is_file() or path.suffix.lower() in ZIPPED:
        return str(path)
    with path.open("rb") as file:
        start = file.read(8)
    for mark, name in ARCHIVES.items():
        if start.startswith(mark):
            raise LookupError(f"{path} is a {name} archive. Unpack it and give the vector file in it.")
    if not start.startswith(b"PK\x03\x04"):
        return str(path)
    members = _members(path)
    folders = {str(PurePosixPath(member).parent) for member in members}
    if len(members) > 1 and len(folders) == 1 and all(member.lower().endswith(".shp") for member in members):
        folder = folders.pop()  # the shapefiles of a folder are its layers
        return f"/vsizip/{{{path.absolute()}}}" + (f"/{folder}" if folder != "." else "")
    if len(members) != 1:
        found = f"{len(members)} vector files: {', '.join(members)}" if members else "no vector file"
        raise LookupError(f"{path} contains {found}. Unpack it and give the path of one vector file.")
    return f"/vsizip/{{{path.absolute()}}}/{members[0]}"


def _members(path: Path) -> list[str]:
    """Return the vector files of a zip archive; a .gdb is a folder.

    Raises
    ------
    LookupError
        The archive is truncated.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise LookupError(f"{path} is no complete zip archive: {error}. Download or copy it again.") from error
    found = dict.fromkeys(
        "/".join(parts[: k + 1])
        for parts in (name.rstrip("/").split("/") for name in names if not name.startswith("__MACOSX/"))
        for k, part in enumerate(parts)
        if Path(part).suffix.lower() in MEMBERS
    )
    return [name for name in found if not any(name.startswith(f"{other}/") for other in found)]


def vector_files(path: Path) -> list[Path]:
    """Return the files of a vector file that exist: companions of a .shp, .tab or .mif, members of a .gdb, log of a .gpkg."""
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    beside = BESIDE.get(path.suffix.lower(), ())
    beside = (*beside, *(suffix.upper() for suffix in beside))
    files = {path, path.with_name(f"{path.name}-wal"), *(path.with_suffix(suffix) for suffix in beside)}
    return sorted(file for file in files if file.is_file())


def shapes_of(wkb: NDArray[Any]) -> NDArray[Any]:
    """Return the geometries of features (N,); None where a feature has none (:func:`has_place`), or a ring that is not closed."""
    with np.errstate(invalid="ignore"):
        return with_place(shapely.from_wkb(wkb, on_invalid="ignore"))


def has_place(shapes: NDArray[Any]) -> NDArray[np.bool_]:
    """Return whether geometries (N,) have coordinates, none of which is NaN or infinite. GEOS and GDAL fail on the others."""
    xy, which = shapely.get_coordinates(shapes, return_index=True)
    there = np.bincount(which, minlength=len(shapes)) > 0
    return np.asarray(there & (np.bincount(which, ~np.isfinite(xy).all(1), minlength=len(shapes)) == 0))


def with_place(shapes: NDArray[Any]) -> NDArray[Any]:
    """Return geometries (N,) with None in place of those that have no place (:func:`has_place`)."""
    kept = np.array(shapes, object)
    kept[~has_place(kept)] = None
    return kept


def repaired(shapes: NDArray[Any], **how: Any) -> NDArray[Any]:
    """Return valid geometries (N,); None in place of those without a place, and of those that GEOS cannot repair.

    `how` are the settings of :func:`shapely.make_valid`. GEOS cannot repair a polygon with coordinates of 1e308, for example.
    """
    kept = with_place(shapes)
    with np.errstate(all="ignore"):
        try:
            return with_place(shapely.make_valid(kept, **how))
        except shapely.GEOSException:
            return with_place(np.array([_repaired_alone(shape, how) for shape in kept] + [None], object)[:-1])


def multipolygons(shapes: Iterable[Any]) -> NDArray[Any]:
    """Return the polygons of each geometry as one multipolygon, without its lines and points."""
    return np.array([shapely.MultiPolygon(polygons_of(shape).tolist()) for shape in shapes], object)


def polygons_of(shape: Any) -> NDArray[Any]:
    """Return the polygons of a geometry, without its lines and points."""
    parts = shapely.get_parts(shape)
    return np.asarray(parts[shapely.get_dimensions(parts) == 2])


def _repaired_alone(shape: Any, how: dict[str, Any]) -> Any:
    try:
        return shapely.make_valid(shape, **how)
    except shapely.GEOSException:
        return None
