"""Read reference polygons from a vector file or database, reproject them to the map's CRS, translate labels to classes.

A point stands for the pixel of the map that contains it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS
from pyproj.exceptions import CRSError, ProjError
from shapely import Polygon

from bocage.disk import digest_of
from bocage.errors import SamplesError
from bocage.grid import Grid, name_of
from bocage.legend import Legend, plain
from bocage.ranges import VALUE, Range, check_ranges
from bocage.redaction import redacted_address
from bocage.samples.condition import selected
from bocage.samples.postgis import POSTGIS, read_table
from bocage.samples.raster import features_in_raster, names_raster
from bocage.samples.shapes import POINTS, pixels_of, polygons_in, shrunk
from bocage.samples.tabular import TABLES, features_of
from bocage.samples.vector import features_in
from bocage.shelf import did_you_mean
from bocage.sources.raster import fingerprint, inspect
from bocage.sources.unread import unread
from bocage.vectorfile import has_place, repaired, vector_files, with_place
from bocage.words import Note, quantity

Reason = Literal[
    "ignored",
    "no_label",
    "unknown_label",
    "empty",
    "no_polygon",
    "outside",
    "buffer",
    "too_small",
    "overlap",
    "masked",
    "no_series",
    "rare",
    "one_place",
    "one_part",
    "other_part",
    "coarser",
    "no_finer",
    "purposive",
]
"""Codes of rejection reasons; the text of a code has the key ``note_reason_<code>``."""
MOST = 10
"""Maximum number of unknown labels that a message lists."""


@dataclass(frozen=True)
class Reference:
    """Location and fields of the reference polygons."""

    path: Path | str
    """Vector file in any OGR format; CSV or Parquet table with coordinates; raster of class codes; or a PostGIS database
    ``postgresql://user@host/base`` (``pip install bocage[postgis]``)."""
    label: str
    """Field that contains the class label; ``code`` for a raster."""
    polygon_id: str = ""
    """Field with a polygon identifier, for surveyed fields that consist of several features; empty: each feature is a
    separate polygon, and so is a feature without identifier."""
    sample_id: str = ""
    """Field with the sample identifier; required if the sources are tables of series."""
    weight: str = ""
    """Field with the inclusion weight of each polygon (1 / probability that it was selected), above 0, for polygons that are a
    probability sample of the mapped area; empty: they were chosen without a sampling design, and areas have no intervals."""
    purposive: str = ""
    """Field that is true for polygons surveyed where a model was in doubt (``bocage scout``), false or empty for the others.
    Purposive polygons are used for training only: they are in no test and no validation part, and in no estimate of areas.
    Empty: no polygon is purposive."""
    layer: str = ""
    """Layer of the file, ``schema.table`` of the database, or number of the band of a raster; empty: the only layer of the file
    that has geometries, or the only band."""
    where: str = ""
    """SQL condition on the fields that selects features, in the dialect of SQLite, for example ``year = 2022``; empty: all."""
    geometry: tuple[str, ...] = ()
    """Columns of a table: one with geometries as WKT, or two with x and y; empty: recognised by names such as ``wkt``, ``lon``
    and ``lat``, ``x`` and ``y``."""
    crs: str = ""
    """Coordinate reference system of a file that declares none, for example ``"EPSG:2154"``; ``lon`` and ``lat`` of a table are
    degrees in WGS 84."""
    buffer: Annotated[float, Range(0, 100_000)] = 0.0
    """Inward buffer: distance removed inside every polygon border before pixels are labelled, in metres, at least 0. Points have
    no buffer: a point labels the pixel that contains it."""
    unknown: Literal["stop", "reject"] = "stop"
    """Action for a label that is not in the legend: "stop" stops the run, "reject" rejects and counts its polygons."""
    ignore: Annotated[tuple[int | str, ...], VALUE] = ()
    """Labels to exclude; their polygons are counted as rejected."""
    doubtful: Literal["keep", "drop", "weight"] = "keep"
    """Training polygons whose label is probably wrong: "keep" uses them as they are; "drop" leaves out those above
    ``[doctor] threshold``; "weight" uses every polygon with the probability that its label is right. The doubt is computed for
    each draw from its own training and validation polygons, so that test polygons have no influence, and are never left out."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if len(self.geometry) > 2:
            raise ValueError("'geometry' names one column, or two; found " + ", ".join(self.geometry))
        try:
            if self.crs:
                CRS.from_user_input(self.crs)
        except CRSError:
            raise ValueError(
                f"'crs' must be a coordinate reference system such as EPSG:2154; found '{self.crs}'"
            ) from None

    @property
    def shown(self) -> str:
        """The path or address as messages and records show it: without secrets."""
        return redacted_address(str(self.path))

    @property
    def files(self) -> list[Path]:
        """The files that the polygons are read from; none for a database."""
        if POSTGIS.match(str(self.path)):
            return []
        path = Path(self.path)
        return list(inspect(path).files) if names_raster(path) and path.is_file() else vector_files(path)


@dataclass(frozen=True)
class Rejection:
    """Polygons or pixels of one class that were rejected, with the reason."""

    reason: Reason
    label: str
    """Class name; the label of the file if no class of the legend has it."""
    polygons: int
    """Number of rejected polygons."""
    pixels: int
    """Number of rejected pixels; 0 if the polygons were rejected before pixels were labelled."""
    value: str = ""
    """Value to insert into the text of the reason (a number of polygons, or a distance in metres)."""

    @property
    def note(self) -> Note:
        """The reason as a note."""
        return Note.of(f"reason_{self.reason}", value=float(self.value) if self.value else "")

    def text(self, language: str = "en") -> str:
        """Return the text of the reason."""
        return self.note.text(language)


def column_of(field: str) -> str:
    """Return the column of a table of features with the values of a field of the reference, which may be named as ours."""
    return f"field {field}"


def labelled_features(
    reference: Reference, legend: Legend, fields: tuple[str, ...] = ()
) -> tuple[gpd.GeoDataFrame, list[Rejection]]:
    """Read features of any geometry type as a table: ``geometry``, ``label`` (class position), ``polygon`` (number).

    ``polygon_name`` is the identifier of the polygon, if the reference has one. :func:`column_of` gives the columns of `fields`.

    Returns
    -------
    The table, and the features rejected because of their label.

    Raises
    ------
    SamplesError
        The file, layer or field is missing, or a label is not in the legend, or no feature has a label.
    """
    frame = _with_crs(read_features(reference), reference)
    _check_degrees(frame, reference)
    for name in (reference.label, *filter(None, [reference.polygon_id]), *fields):
        check_field(frame, name, reference)
    classes = [legend.index_of(value) for value in frame[reference.label]]
    table = gpd.GeoDataFrame(
        {
            "label": [-1 if c is None else c for c in classes],
            "found": [plain(value) for value in frame[reference.label]],
            "polygon": _numbers(frame, reference),
            "polygon_name": frame[reference.polygon_id].to_numpy() if reference.polygon_id else "",
            **{column_of(name): frame[name].to_numpy() for name in fields},
        },
        geometry=frame.geometry.to_numpy(),
        crs=frame.crs,
    )
    return _known(table, reference, legend)


def read_polygons(
    reference: Reference, grid: Grid, legend: Legend, fields: tuple[str, ...] = ()
) -> tuple[gpd.GeoDataFrame, list[Rejection], list[Note]]:
    """Read polygons as a table: ``geometry`` (map CRS), ``label`` (class position), ``polygon`` (number) and `fields`.

    Returns
    -------
    The table, the polygons rejected before rasterisation, and notes for the user.

    Raises
    ------
    SamplesError
        The file, layer or field is missing, the file has no CRS, a label is not in the legend, or no polygon intersects the
        map.
    """
    table, rejections = labelled_features(reference, legend, fields)
    table, more, notes = usable_polygons(table, reference, grid, legend)
    return table, rejections + more, unlabelled(rejections) + notes


def unlabelled(rejections: list[Rejection]) -> list[Note]:
    """Return the note on the number of features without a label; no note if every feature has one."""
    return [Note.of("no_label", n=r.polygons) for r in rejections if r.reason == "no_label"]


def usable_polygons(
    table: gpd.GeoDataFrame, reference: Reference, grid: Grid, legend: Legend
) -> tuple[gpd.GeoDataFrame, list[Rejection], list[Note]]:
    """Reproject features read by :func:`labelled_features` to the map's CRS, and keep the polygons that intersect the map.

    Returns
    -------
    The table, the polygons rejected here, and notes for the user.

    Raises
    ------
    SamplesError
        The table has no CRS, or no polygon intersects the map.
    """
    notes = []
    if len(table) and table.geometry.isna().all():
        raise SamplesError(
            f"{reference.shown}: no feature has a geometry. Give a vector file of polygons, or name the columns of the "
            "coordinates of a table in [reference] geometry. A table without them labels the samples of a table of series "
            "(sensor 'table')."
        )
    if table.crs is None:
        raise SamplesError(
            f"{reference.shown}: no coordinate reference system. Set [reference] crs, or assign a CRS with ogr2ogr -a_srs."
        )
    if table.crs != grid.crs.proj:
        notes.append(Note.of("reference_reprojected", there=name_of(table.crs), here=grid.crs_name))
        table = _reprojected(table, reference, grid)
    table, rejections = _usable(table, legend, grid, reference)
    return table.reset_index(drop=True), rejections, notes


def read_features(reference: Reference) -> gpd.GeoDataFrame:
    """Return all features and fields of the reference; the geometry of a table without location is missing.

    Raises
    ------
    SamplesError
        The file does not exist or cannot be read, has several layers and none is named, or has no feature.
    """
    text = str(reference.path)
    if POSTGIS.match(text):
        return read_table(text, reference.layer)
    if not Path(text).exists():
        raise SamplesError(f"{text} does not exist. Check [reference] path.")
    if not Path(text).is_file() and not Path(text).is_dir():
        raise SamplesError(f"{text} is not a regular file. Check [reference] path.")
    try:
        frame = _features(text, reference)
    except SamplesError:
        raise
    except LookupError as error:
        raise SamplesError(str(error)) from error
    except Exception as error:  # pyogrio raises many exception types; all mean that the file cannot be read
        if advice := unread([Path(text)]):
            raise SamplesError(f"{advice[0]}.") from error
        why = " ".join(str(error).partition("; It might help")[0].split()).rstrip(
            ".;"
        )  # GDAL's hint is for programmers
        raise SamplesError(
            f"{reference.shown} cannot be read as a vector file: {why}. Unpack an archive, or convert the file with ogr2ogr."
        ) from error
    if not len(frame):
        what = "pixel with a class code" if names_raster(text) else "polygon"
        raise SamplesError(f"{text} contains no {what}{' in layer ' + reference.layer if reference.layer else ''}.")
    return selected(frame, reference.where, reference.shown) if reference.where.strip() else frame


def _features(text: str, reference: Reference) -> gpd.GeoDataFrame:
    if names_raster(text):
        return features_in_raster(Path(text), reference.layer)
    if Path(text).suffix.lower() in TABLES:
        return features_of(Path(text), reference.geometry)
    return features_in(Path(text), reference.layer)


def _with_crs(frame: gpd.GeoDataFrame, reference: Reference) -> gpd.GeoDataFrame:
    """Return features with the CRS of the recipe if their file declares none.

    Raises
    ------
    SamplesError
        The file declares another CRS.
    """
    if not reference.crs:
        return frame
    if frame.crs is not None and frame.crs != CRS.from_user_input(reference.crs):
        raise SamplesError(
            f"{reference.shown}: its CRS is {name_of(frame.crs)}, but [reference] crs is {reference.crs}. Remove crs, or "
            "correct the CRS of the file with ogr2ogr -a_srs."
        )
    return frame if frame.crs is not None else frame.set_crs(reference.crs)


def _check_degrees(table: gpd.GeoDataFrame, reference: Reference) -> None:
    """Check that the coordinates of a geographic CRS are degrees.

    GeoJSON without a CRS is read as longitude and latitude, whatever its coordinates are.

    Raises
    ------
    SamplesError
        The coordinates are out of the range of degrees.
    """
    west, south, east, north = table.geometry[has_place(table.geometry.to_numpy())].total_bounds
    degrees = table.crs is not None and table.crs.is_geographic
    if degrees and (max(abs(west), abs(east)) > 360 or max(abs(south), abs(north)) > 90.1):
        raise SamplesError(
            f"{reference.shown}: its CRS is {name_of(table.crs)}, in degrees, but its coordinates are no degrees (extent "
            f"{[round(float(b), 1) for b in (west, south, east, north)]}). Declare the true CRS with ogr2ogr -a_srs."
        )


def _reprojected(table: gpd.GeoDataFrame, reference: Reference, grid: Grid) -> gpd.GeoDataFrame:
    """Return features in the CRS of the map; those without a place in it become empty.

    Raises
    ------
    SamplesError
        PROJ cannot transform the coordinates: the CRS is local, or of another celestial body.
    """
    try:
        moved = table.to_crs(grid.crs.to_wkt())
    except ProjError as error:
        raise SamplesError(
            f"{reference.shown}: {name_of(table.crs)} cannot be transformed to {grid.crs_name}. Check the CRS of the file."
        ) from error
    return moved.set_geometry(moved.geometry.where(has_place(moved.geometry.to_numpy()), Polygon()))


def fingerprint_reference(reference: Reference) -> str:
    """Return a digest of the content of the polygons: of the file and its companion files, or of the database table."""
    text = str(reference.path)
    if POSTGIS.match(text):
        frame = read_features(reference)
        values = frame.drop(columns=frame.geometry.name).astype(str).to_csv(index=False)
        return digest_of(values.encode(), *frame.geometry.to_wkb())
    if names_raster(text):
        return (
            digest_of("".join(fingerprint(file) for file in reference.files).encode()) if reference.files else "missing"
        )
    return fingerprint_vector(Path(text))


def fingerprint_vector(path: Path) -> str:
    """Return a digest of the content of a vector file and of the files that belong to it; "missing" if it is absent."""
    digests = [fingerprint(file) for file in vector_files(path)]
    return digest_of("".join(digests).encode()) if digests else "missing"


def check_field(frame: gpd.GeoDataFrame, name: str, reference: Reference) -> None:
    """Check that the reference has a field.

    Raises
    ------
    SamplesError
        It has no field of this name.
    """
    fields = [c for c in frame.columns if c != frame.geometry.name]
    if name not in fields:
        raise SamplesError(
            f"{reference.shown} has no field '{name}'.{did_you_mean(name, fields)} The fields are: {', '.join(fields)}."
        )


def _numbers(frame: gpd.GeoDataFrame, reference: Reference) -> Any:
    if not reference.polygon_id:
        return np.arange(len(frame))
    numbers = pd.factorize(frame[reference.polygon_id].map(plain).replace("", None))[0].astype(np.int64)
    alone = numbers < 0
    numbers[alone] = np.arange(alone.sum()) + numbers.max() + 1
    return numbers


def _known(table: gpd.GeoDataFrame, reference: Reference, legend: Legend) -> tuple[gpd.GeoDataFrame, list[Rejection]]:
    """Remove features without a label, with an ignored one, or with one that is not in the legend."""
    without = table.found.eq("").to_numpy()
    ignored = table.found.isin({plain(value) for value in reference.ignore}).to_numpy() & ~without
    unknown = table.label.eq(-1).to_numpy() & ~ignored & ~without
    if without.all():
        raise SamplesError(
            f"{reference.shown}: none of its {len(table)} features has a label in the field '{reference.label}'. "
            "Fill the field, or set [reference] label to another field."
        )
    if unknown.any() and reference.unknown == "stop":
        raise SamplesError(_unknown_labels(table.found[unknown], reference, legend))
    reasons: tuple[tuple[Reason, Any], ...] = (("ignored", ignored), ("no_label", without), ("unknown_label", unknown))
    rejections = [
        Rejection(reason, str(value) or "–", int(n), 0)
        for reason, mask in reasons
        for value, n in table.found[mask].value_counts().items()
    ]
    return table[~(ignored | without | unknown)], rejections


def _unknown_labels(found: pd.Series, reference: Reference, legend: Legend) -> str:
    counts = found.value_counts()
    listed = ", ".join(f"'{value}' ({quantity(n, 'polygon')})" for value, n in counts.head(MOST).items())
    more = f" and {len(counts) - MOST} more" if len(counts) > MOST else ""
    return (
        f"{reference.shown}, field '{reference.label}': labels missing from the legend: {listed}{more}. The "
        f"legend has {', '.join(str(v) for c in legend.classes for v in (c.values or (c.code,)))}. Add the label to a class, "
        'list it in [reference] ignore, or set unknown = "reject".'
    )


def _valid(table: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, pd.Series, pd.Series]:
    """Return features with valid geometries, and which of them have none, and which are neither polygons nor points."""

    def assigned(shapes: Any) -> gpd.GeoDataFrame:
        return table.assign(geometry=gpd.GeoSeries(shapes, index=table.index, crs=table.crs))

    table = assigned(with_place(table.geometry.to_numpy()))
    mixed = table.geometry.geom_type == "GeometryCollection"
    if mixed.any():
        table = table.assign(geometry=table.geometry.where(~mixed, table.geometry.map(polygons_in)))
    kinds = table.geometry.geom_type
    shapes = repaired(table.geometry.to_numpy())
    table = assigned(shapes)
    collapsed = kinds.isin(["Polygon", "MultiPolygon"]) & (shapely.get_dimensions(shapes) < 2)  # all corners on a line
    return table, table.geometry.isna() | collapsed, ~kinds.isin(["Polygon", "MultiPolygon", *POINTS])


def _usable(
    table: gpd.GeoDataFrame, legend: Legend, grid: Grid, reference: Reference
) -> tuple[gpd.GeoDataFrame, list[Rejection]]:
    rejections: list[Rejection] = []

    def reject(mask: Any, reason: Reason, value: str = "") -> None:
        nonlocal table
        for label, n in table.label[mask].value_counts().items():
            rejections.append(Rejection(reason, legend.labelled(int(label)).name, int(n), 0, value))
        table = table[~mask]

    table, empty, no_polygon = _valid(table)
    reject(empty, "empty")
    reject(no_polygon.reindex(table.index), "no_polygon")
    outside = ~table.geometry.intersects(grid.geobox.extent.geom)
    everything = len(table) > 0 and bool(outside.all())
    bounds = table.total_bounds.round(1).tolist() if everything else []
    reject(outside, "outside")
    if everything:
        raise SamplesError(
            f"{reference.shown}: all polygons are outside the map. Extent of the polygons: {bounds}; of "
            f"the map: {[round(b, 1) for b in grid.bounds]} ({grid.crs_name}). Check the CRS of the file and [grid]."
        )
    are_points = table.geometry.geom_type.isin(POINTS)
    if reference.buffer > 0:
        table = table.assign(geometry=shrunk(table.geometry, reference.buffer).where(~are_points, table.geometry))
        reject(table.geometry.is_empty, "buffer", f"{reference.buffer:g}")
    if are_points.any():
        pixels = table.geometry.map(lambda shape: pixels_of(shape, grid))
        table = table.assign(geometry=table.geometry.where(~are_points.reindex(table.index), pixels))
    return table, rejections
