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
    """Features of a file with a row in a table of series."""

    ids: tuple[str, ...]
    rows: NDArray[np.int32]
    """Row of each feature in the table."""
    shapes: NDArray[Any]
    """Geometries."""
    crs: str
    """Coordinate reference system as WKT."""
    surveyed: int = 0
    """Number of features with a label."""
    no_series: int = 0
    """Number of features without a row in the table."""
    no_place: int = 0
    """Number of features without a geometry."""


def unsurveyed_points(path: Path | None, reference: Reference, ids: tuple[str, ...]) -> Points:
    """Return the features of a file, by default of the reference, that have a row in a table and no label in the reference.

    Raises
    ------
    SamplesError
        A file cannot be read, or has no field of sample ids or no CRS.
    """
    known = read_features(reference)
    check_field(known, reference.sample_id, reference)
    check_field(known, reference.label, reference)
    labelled = set(texts(known[reference.sample_id])[known[reference.label].map(plain) != ""])
    own = reference if path is None else Reference(path, reference.label)
    if path is not None and not path.exists():
        raise SamplesError(f"{path} does not exist. Check --candidates.")
    table = known if path is None else read_features(own)
    check_field(table, reference.sample_id, own)
    crs = table.crs or (reference.crs if path is None else None)
    if crs is None:
        raise SamplesError(f"{own.shown}: no coordinate reference system. Assign a CRS with ogr2ogr -a_srs.")
    names = texts(table[reference.sample_id])
    rows = pd.Series(np.arange(len(ids)), index=list(ids)).reindex(names).to_numpy()
    surveyed = names.isin(labelled).to_numpy() | names.duplicated().to_numpy()
    series, nowhere = ~np.isnan(rows), (table.geometry.isna() | table.geometry.is_empty).to_numpy()
    kept = series & ~surveyed & ~nowhere
    wkt = crs if isinstance(crs, str) else crs.to_wkt()
    return Points(
        tuple(names[kept]), rows[kept].astype(np.int32), table.geometry.to_numpy()[kept], wkt,
        int(surveyed.sum()), int((~series & ~surveyed).sum()), int((nowhere & series & ~surveyed).sum()),
    )  # fmt: skip
