"""What a survey can still visit: reference polygons that are known, and rows of a table of series without a label."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.errors import SamplesError
from bocage.grid import Grid
from bocage.legend import Legend, plain
from bocage.samples.reference import Reference, check_field, read_features, read_polygons
from bocage.sources.table import texts


def surveyed_polygons(reference: Reference, grid: Grid, legend: Legend) -> NDArray[Any]:
    """Return the reference polygons that have a label, in the CRS of the map, without inward buffer (M,)."""
    table, _, _ = read_polygons(replace(reference, buffer=0.0, unknown="reject"), grid, legend)
    return np.asarray(table.geometry.to_numpy(), object)


@dataclass(frozen=True)
class Points:
    """Features of a file with a row in a table of series; those of one polygon are one candidate."""

    ids: tuple[str, ...]
    """Sample id of each candidate: the first feature of a polygon (N,)."""
    polygons: tuple[str, ...]
    """Identifier of the polygon of each candidate; empty without one (N,)."""
    shapes: NDArray[Any]
    """Geometry of each candidate (N,)."""
    rows: NDArray[np.int32]
    """Rows of the table (R,)."""
    candidate: NDArray[np.int32]
    """Candidate of each row, from 0 (R,)."""
    crs: str
    """Coordinate reference system as WKT."""
    surveyed: int = 0
    """Number of features with a label, or of a polygon with one."""
    no_series: int = 0
    """Number of features without a row in the table."""
    no_place: int = 0
    """Number of features without a geometry."""


def unsurveyed_points(path: Path | None, reference: Reference, ids: tuple[str, ...]) -> Points:
    """Return the features of a file, by default of the reference, that have a row in a table and no label in the reference.

    Features of one polygon (``polygon_id``) are one candidate, and are surveyed if one of them is.

    Raises
    ------
    SamplesError
        A file cannot be read, or has no field of sample ids or no CRS.
    """
    known = read_features(reference)
    check_field(known, reference.sample_id, reference)
    check_field(known, reference.label, reference)
    own = reference if path is None else Reference(path, reference.label)
    if path is not None and not path.exists():
        raise SamplesError(f"{path} does not exist. Check --candidates.")
    table = known if path is None else read_features(own)
    check_field(table, reference.sample_id, own)
    crs = table.crs or (reference.crs if path is None else None)
    if crs is None:
        raise SamplesError(f"{own.shown}: no coordinate reference system. Assign a CRS with ogr2ogr -a_srs.")
    names, (polygons, surveyed) = texts(table[reference.sample_id]), _surveyed(known, table, reference)
    rows = pd.Series(np.arange(len(ids)), index=list(ids)).reindex(names).to_numpy()
    series, nowhere = ~np.isnan(rows), (table.geometry.isna() | table.geometry.is_empty).to_numpy()
    kept = np.flatnonzero(series & ~surveyed & ~nowhere)
    units = np.where(polygons[kept] == "", [f"\0{k}" for k in range(len(kept))], polygons[kept])
    candidate, units = pd.factorize(units)
    first = kept[np.unique(candidate, return_index=True)[1]]
    wkt = crs if isinstance(crs, str) else crs.to_wkt()
    return Points(
        tuple(names.iloc[first]), tuple(polygons[first]), table.geometry.to_numpy()[first], rows[kept].astype(np.int32),
        candidate.astype(np.int32), wkt, int(surveyed.sum()), int((~series & ~surveyed).sum()),
        int((nowhere & series & ~surveyed).sum()),
    )  # fmt: skip


def _surveyed(known: pd.DataFrame, table: pd.DataFrame, reference: Reference) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the polygon of each feature of a table, empty without one, and whether it is surveyed already or repeated.

    A table without the field of the polygons has those of the samples of the reference `known`.
    """
    field, names = reference.polygon_id, texts(table[reference.sample_id])
    known_names, is_labelled = texts(known[reference.sample_id]), (known[reference.label].map(plain) != "").to_numpy()
    found = names.isin(set(known_names[is_labelled])).to_numpy() | names.duplicated().to_numpy()
    if not field:
        return np.full(len(table), "", object), found
    check_field(known, field, reference)
    of_known = known[field].map(plain)
    of_sample = dict(zip(known_names, of_known, strict=True))
    polygons = table[field].map(plain) if field in table else names.map(of_sample).fillna("")
    labelled = set(of_known[is_labelled]) - {""}
    return polygons.to_numpy(object), found | polygons.isin(labelled).to_numpy()
