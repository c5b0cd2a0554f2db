"""Read reference polygons from a vector file or database, reproject them to the map's CRS, translate labels to classes."""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import geopandas as gpd
import numpy as np
import pandas as pd

from bocage.disk import digest_of
from bocage.errors import SamplesError
from bocage.grid import Grid
from bocage.legend import Legend
from bocage.redaction import redacted_address
from bocage.shelf import did_you_mean
from bocage.sources.raster import fingerprint
from bocage.words import Note

Reason = Literal[
    "ignored",
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
]
"""Codes of rejection reasons; the text of a code has the key ``note_reason_<code>``."""
POSTGIS = re.compile(
    r"postgres(?:ql)?(?:\+psycopg)?://(?:(?P<user>[^:@/?]*)(?::(?P<password>[^?]*(?=@)))?@)?(?P<place>.*)",
    re.I | re.S,
)
"""Address of a database. Blanks, ``@`` and ``/`` in a password need no percent-encoding."""


@dataclass(frozen=True)
class Reference:
    """Location and fields of the reference polygons."""

    path: Path | str
    """Vector file in any OGR format, or a PostGIS database ``postgresql://user@host/base`` (``pip install bocage[postgis]``)."""
    label: str
    """Field that contains the class label."""
    polygon_id: str = ""
    """Field with a polygon identifier, for surveyed fields that consist of several features; empty: each feature is a
    separate polygon."""
    sample_id: str = ""
    """Field with the sample identifier; required if the sources are tables of series."""
    weight: str = ""
    """Field with the inclusion weight of each polygon (1 / probability that it was selected), above 0, for polygons that are a
    probability sample of the mapped area; empty: they were chosen without a sampling design, and areas have no intervals."""
    layer: str = ""
    """Layer of the file, or ``schema.table`` of the database; empty: the only layer of the file."""
    buffer: float = 0.0
    """Inward buffer: distance removed inside every polygon border before pixels are labelled, in metres, at least 0."""
    unknown: Literal["stop", "reject"] = "stop"
    """Action for a label that is not in the legend: "stop" stops the run, "reject" rejects and counts its polygons."""
    ignore: tuple[int | str, ...] = ()
    """Labels to exclude; their polygons are counted as rejected."""

    def __post_init__(self) -> None:
        if self.buffer < 0:
            raise ValueError(f"'buffer' is an inward distance and must be at least 0 metres; found {self.buffer}")

    @property
    def shown(self) -> str:
        """The path or address as messages and records show it: without secrets."""
        return redacted_address(str(self.path))


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


def labelled_features(
    reference: Reference, legend: Legend, fields: tuple[str, ...] = ()
) -> tuple[gpd.GeoDataFrame, list[Rejection]]:
    """Read features of any geometry type as a table: ``geometry``, ``label`` (class position), ``polygon`` (number), `fields`.

    Returns
    -------
    The table, and the features rejected because of their label.

    Raises
    ------
    SamplesError
        The file, layer or field is missing, or a label is not in the legend.
    """
    frame = _read(reference)
    for name in (reference.label, *filter(None, [reference.polygon_id]), *fields):
        _check_field(frame, name, reference)
    classes = [legend.index_of(value) for value in frame[reference.label]]
    table = gpd.GeoDataFrame(
        {
            "label": [-1 if c is None else c for c in classes],
            "found": frame[reference.label].astype(str).to_numpy(),
            "polygon": _numbers(frame, reference),
            **{name: frame[name].to_numpy() for name in fields},
        },
        geometry=frame.geometry.to_numpy(),
        crs=frame.crs,
    )
    table, rejections = _known(table, frame[reference.label], reference, legend)
    return table, rejections


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
    return table, rejections + more, notes


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
    if table.crs is None:
        raise SamplesError(f"{reference.shown}: no coordinate reference system. Assign a CRS with ogr2ogr -a_srs.")
    if table.crs != grid.crs.proj:
        notes.append(Note.of("reference_reprojected", there=_crs_name(table.crs), here=grid.crs_name))
        table = table.to_crs(grid.crs.to_wkt())
    table, rejections = _usable(table, legend, grid, reference)
    return table.reset_index(drop=True), rejections, notes


def label_values(path: Path, label: str, most: int = 60) -> tuple[str, list[int | str]]:
    """Return the label field of a vector file and its distinct values, sorted.

    If `label` is empty, the field is guessed. Candidates have 2 to `most` distinct values. Fields with a name such as
    "class" are preferred.

    Raises
    ------
    SamplesError
        The file cannot be read, the field does not exist, or no field is a candidate.
    """
    frame = _read(Reference(path, label))
    fields = [c for c in frame.columns if c != frame.geometry.name]
    if label:
        _check_field(frame, label, Reference(path, label))
    else:
        fitting = [f for f in fields if 2 <= frame[f].nunique() <= most and frame[f].nunique() < len(frame)]
        if not fitting:
            raise SamplesError(f"{path}: no field looks like a class; give --label. Its fields: {', '.join(fields)}.")
        words = ("code", "class", "label", "crop", "lc", "ct", "type")
        label = min(fitting, key=lambda f: min([i for i, w in enumerate(words) if w in f.lower()], default=99))
    values = frame[label].dropna().unique().tolist()
    whole = [int(v) if isinstance(v, int | float) and float(v).is_integer() else str(v) for v in values]
    return label, sorted(whole, key=lambda v: (isinstance(v, str), v))


def _read(reference: Reference) -> gpd.GeoDataFrame:
    text = str(reference.path)
    if POSTGIS.match(text):
        return _read_postgis(text, reference)
    if not Path(text).exists():
        raise SamplesError(f"{text} does not exist. Check [reference] path.")
    try:
        options: dict[str, Any] = {"layer": reference.layer} if reference.layer else {}
        with warnings.catch_warnings():
            # The warnings are harmless here: fields of mixed types stay text, curves become lines, M values are dropped.
            warnings.simplefilter("ignore", UserWarning)
            frame = gpd.read_file(text, engine="pyogrio", **options)
    except Exception as error:  # pyogrio raises many exception types; all mean that the file cannot be read
        raise SamplesError(f"{reference.shown} cannot be read as a vector file: {error}.") from error
    if not isinstance(frame, gpd.GeoDataFrame) or not len(frame):
        raise SamplesError(f"{text} contains no polygon{' in layer ' + reference.layer if reference.layer else ''}.")
    return frame


def _read_postgis(url: str, reference: Reference) -> gpd.GeoDataFrame:
    try:
        import sqlalchemy
    except ImportError as error:
        raise SamplesError("Reading PostGIS needs two more packages: pip install 'bocage[postgis]'.") from error
    if not reference.layer:
        raise SamplesError(f'{reference.shown}: no table is given. Set [reference] layer = "schema.table".')
    try:
        engine = sqlalchemy.create_engine(_engine_url(url))
        name = ".".join('"' + part.replace('"', '""') + '"' for part in reference.layer.split("."))
        column = _geometry_column(engine, reference.layer)
        return gpd.read_postgis(f"SELECT * FROM {name}", engine, geom_col=column)
    except SamplesError:
        raise
    except Exception as error:
        first = str(error).splitlines()[0]
        raise SamplesError(f"{reference.shown}, table {reference.layer}: {first}.") from error


def _engine_url(address: str) -> Any:
    """Return the address for SQLAlchemy, whose own parser ends a password at the first ``@``."""
    import sqlalchemy

    match = POSTGIS.fullmatch(address)
    assert match
    user, password = (None if part is None else unquote(part) for part in (match["user"], match["password"]))
    return sqlalchemy.make_url(f"postgresql+psycopg://{match['place']}").set(username=user, password=password)


def _geometry_column(engine: Any, layer: str) -> str:
    import sqlalchemy

    schema, _, table = layer.rpartition(".")
    query = sqlalchemy.text(
        "SELECT f_geometry_column FROM geometry_columns "
        "WHERE f_table_name = :table AND (:schema = '' OR f_table_schema = :schema)"
    )
    with engine.connect() as connection:
        found = connection.execute(query, {"table": table, "schema": schema}).scalars().all()
    if not found:
        raise SamplesError(f"The database has no table '{layer}' with a geometry column. Check [reference] layer.")
    return str(found[0])


def fingerprint_reference(reference: Reference) -> str:
    """Return a digest of the content of the polygons: of the file and its companion files, or of the database table."""
    text = str(reference.path)
    if POSTGIS.match(text):
        frame = _read(reference)
        values = frame.drop(columns=frame.geometry.name).astype(str).to_csv(index=False)
        return digest_of(values.encode(), *frame.geometry.to_wkb())
    return fingerprint_vector(Path(text))


def fingerprint_vector(path: Path) -> str:
    """Return a digest of a vector file's content, companion files (.shp) or members (.gdb) included; "missing" if absent."""
    files = (
        path.rglob("*") if path.is_dir() else path.parent.glob(f"{path.stem}.*") if path.suffix == ".shp" else [path]
    )
    digests = [fingerprint(file) for file in sorted(files) if file.is_file()]
    return digest_of("".join(digests).encode()) if digests else "missing"


def _check_field(frame: gpd.GeoDataFrame, name: str, reference: Reference) -> None:
    fields = [c for c in frame.columns if c != frame.geometry.name]
    if name not in fields:
        raise SamplesError(
            f"{reference.shown} has no field '{name}'.{did_you_mean(name, fields)} The fields are: {', '.join(fields)}."
        )


def _crs_name(crs: Any) -> str:
    epsg = crs.to_epsg()
    return f"EPSG:{epsg}" if epsg else str(crs.name)


def _numbers(frame: gpd.GeoDataFrame, reference: Reference) -> Any:
    if not reference.polygon_id:
        return np.arange(len(frame))
    return pd.factorize(frame[reference.polygon_id])[0]


def _known(
    table: gpd.GeoDataFrame, values: Any, reference: Reference, legend: Legend
) -> tuple[gpd.GeoDataFrame, list[Rejection]]:
    ignored = values.isna() | values.astype(str).isin({str(v) for v in reference.ignore})
    ignored |= values.map(
        lambda v: isinstance(v, float) and v.is_integer() and str(int(v)) in map(str, reference.ignore)
    )
    unknown = (table.label == -1) & ~ignored.to_numpy()
    if unknown.any() and reference.unknown == "stop":
        counts = table.found[unknown].value_counts()
        listed = ", ".join(f"'{value}' ({n} polygons)" for value, n in counts.items())
        raise SamplesError(
            f"{reference.shown}, field '{reference.label}': labels missing from the legend: {listed}. The "
            f"legend has {', '.join(str(v) for c in legend.classes for v in (c.values or (c.code,)))}. Add the label to a class, "
            'list it in [reference] ignore, or set unknown = "reject".'
        )
    out = ignored.to_numpy() | unknown
    rejections = []
    reasons: tuple[tuple[Reason, Any], ...] = (("ignored", ignored.to_numpy()), ("unknown_label", unknown))
    for reason, mask in reasons:
        for value, n in table.found[mask].value_counts().items():
            rejections.append(Rejection(reason, str(value), int(n), 0))
    return table[~out], rejections


def _usable(
    table: gpd.GeoDataFrame, legend: Legend, grid: Grid, reference: Reference
) -> tuple[gpd.GeoDataFrame, list[Rejection]]:
    rejections: list[Rejection] = []

    def reject(mask: Any, reason: Reason, value: str = "") -> None:
        nonlocal table
        for label, n in table.label[mask].value_counts().items():
            rejections.append(Rejection(reason, legend.names[int(label)], int(n), 0, value))
        table = table[~mask]

    kinds = table.geometry.geom_type
    reject((table.geometry.is_empty | table.geometry.isna()), "empty")
    reject(~kinds.reindex(table.index).isin(["Polygon", "MultiPolygon"]), "no_polygon")
    table = table.assign(geometry=table.geometry.make_valid())
    outside = ~table.geometry.intersects(grid.geobox.extent.geom)
    everything = len(table) > 0 and bool(outside.all())
    bounds = table.total_bounds.round(1).tolist() if everything else []
    reject(outside, "outside")
    if everything:
        raise SamplesError(
            f"{reference.shown}: all polygons are outside the map. Extent of the polygons: {bounds}; of "
            f"the map: {[round(b, 1) for b in grid.bounds]} ({grid.crs_name}). Check the CRS of the file and [grid]."
        )
    if reference.buffer > 0:
        table = table.assign(geometry=table.geometry.buffer(-reference.buffer))
        reject(table.geometry.is_empty, "buffer", f"{reference.buffer:g}")
    return table, rejections
