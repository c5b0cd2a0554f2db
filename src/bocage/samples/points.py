"""Points + table of series → labelled rows of the table."""

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.errors import SamplesError
from bocage.grid import ground_metres
from bocage.legend import Legend
from bocage.samples.coordinates import degrees_of
from bocage.samples.fixed import fixed_parts
from bocage.samples.ground import coinciding, together
from bocage.samples.purposive import check_untested, notes_on_purposive, purposive_of
from bocage.samples.rasterise import Pixels
from bocage.samples.reference import Reference, Rejection, column_of, labelled_features, unlabelled
from bocage.samples.samples import Labelled
from bocage.samples.split import Split
from bocage.sources.table import texts
from bocage.vectorfile import has_place
from bocage.words import Note


def label_rows(reference: Reference, ids: tuple[str, ...], legend: Legend, split: Split) -> Labelled:
    """Label the rows of a table of series with the features that have the same sample id; return them as pixels of a column.

    Raises
    ------
    SamplesError
        ``sample_id`` is missing or is not a field, an id is repeated, or no feature has a series.
    """
    if not reference.sample_id:
        raise SamplesError(
            "The sources are tables. Set [reference] sample_id to the field that contains the sample ids."
        )
    fields = (reference.sample_id, *filter(None, [split.fold, split.field, reference.purposive]))
    table, rejections = labelled_features(reference, legend, fields)
    notes = unlabelled(rejections)
    table, sample_ids = _first_of_each(table, reference)
    rows = _rows_of(sample_ids, ids, reference)
    without = np.isnan(rows)
    for label, n in table.label[without].value_counts().items():
        rejections.append(Rejection("no_series", legend.labelled(int(label)).name, int(n), 0))
    parts = fixed_parts(table[~without].assign(row=rows[~without].astype(np.int32)), reference, split, legend)
    table = parts.table.iloc[np.argsort(parts.table.row.to_numpy(), kind="stable")]
    pixels = _pixels(table)
    purposive = purposive_of(table, reference)
    check_untested(purposive, parts.tested, reference)
    everything = (*rejections, *parts.rejections)
    told = (*notes, *parts.notes, *notes_on_purposive(purposive, reference))
    folds, (place, degrees) = folds_of(table, split.fold), _places(table)
    ground = coinciding(place, pixels.polygon)
    if ground is not None:
        told = (*told, Note.of("same_place", n=together(ground, pixels.polygon)))
    return Labelled(
        pixels, everything, told, folds, place, tested=parts.tested, purposive=purposive, ground=ground, degrees=degrees
    )  # fmt: skip


def _first_of_each(table: gpd.GeoDataFrame, reference: Reference) -> tuple[gpd.GeoDataFrame, pd.Series]:
    """Return the first feature of each sample id, and the ids: a table with a row per date repeats the label."""
    sample_ids = texts(table[column_of(reference.sample_id)])
    twice = sample_ids.duplicated()
    if twice.any() and (differ := table.label.groupby(sample_ids).transform("nunique") > 1).any():
        raise SamplesError(
            f"{reference.shown}: {int((differ & twice).sum())} features repeat a sample id with another label (first: "
            f"{sample_ids[differ].iloc[0]}). Keep one feature for each id."
        )
    return table[~twice], sample_ids[~twice]


def _rows_of(sample_ids: pd.Series, ids: tuple[str, ...], reference: Reference) -> NDArray[np.float64]:
    """Return the row of the table of series of each sample id, (N,); NaN without one."""
    rows: NDArray[np.float64] = pd.Series(np.arange(len(ids)), index=list(ids)).reindex(sample_ids).to_numpy(float)
    if np.isnan(rows).all():
        raise SamplesError(
            f"{reference.shown}: no value of the field {reference.sample_id} is an id of the table (first value of the field: "
            f"{sample_ids.iloc[0]}; first id of the table: {ids[0]})."
        )
    return rows


def _pixels(table: pd.DataFrame) -> Pixels:
    """Return features with their rows as pixels of a column."""
    rows = table.row.to_numpy()
    return Pixels(rows, np.zeros(len(rows), np.int32), table.label.to_numpy(np.int16), table.polygon.to_numpy(np.int32))


def _places(table: gpd.GeoDataFrame) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return the places of features in metres north and east, and as longitude and latitude (WGS 84), (N, 2) each.

    None if the features have no CRS, or one has no geometry.
    """
    if table.crs is None or not has_place(table.geometry.to_numpy()).all():
        return None, None
    bounds = table.geometry.bounds
    north, east = (bounds.miny + bounds.maxy).to_numpy() / 2, (bounds.minx + bounds.maxx).to_numpy() / 2
    metres = np.array(ground_metres(table.crs, float(east.mean()), float(north.mean())))
    return np.asarray(np.stack([north, east], 1) * metres), degrees_of(table.crs, east, north)


def weights_of(table: pd.DataFrame, field: str) -> pd.Series:
    """Return the inclusion weight of every polygon number; empty if `field` is empty.

    Raises
    ------
    SamplesError
        A weight is not a number above 0, or a polygon has two weights.
    """
    if not field:
        return pd.Series(dtype=float)
    values = table[column_of(field)]
    weight = pd.to_numeric(values, errors="coerce").to_numpy(float)
    wrong = ~(np.isfinite(weight) & (weight > 0))
    if wrong.any():
        raise SamplesError(
            f"{int(wrong.sum())} features have no inclusion weight above 0 in the field '{field}' (first: "
            f"{values[wrong].iloc[0]}). Give each feature its weight, 1 / probability of selection, or remove [reference] "
            "weight."
        )
    pairs = pd.DataFrame({"polygon": table.polygon.to_numpy(), "weight": weight}).drop_duplicates()
    torn = pairs.polygon[pairs.polygon.duplicated()]
    if len(torn):
        raise SamplesError(
            f"{torn.nunique()} polygon(s) have two weights in the field '{field}'. Give all features of a polygon the same "
            "weight."
        )
    return pairs.set_index("polygon").weight


def folds_of(table: pd.DataFrame, fold: str) -> pd.Series:
    """Return the fold of every polygon number, as text; empty if `fold` is empty.

    Raises
    ------
    SamplesError
        A feature has no fold, or a polygon has two folds.
    """
    if not fold:
        return pd.Series(dtype=str)
    values = table[column_of(fold)]
    missing = (texts(values) == "") | values.isna()
    if missing.any():
        raise SamplesError(
            f"{int(missing.sum())} features have no value in the fold field '{fold}'. Give each feature a fold, or "
            "remove these features."
        )
    pairs = pd.DataFrame({"polygon": table.polygon.to_numpy(), "fold": texts(values).to_numpy()}).drop_duplicates()
    torn = pairs.polygon[pairs.polygon.duplicated()]
    if len(torn):
        raise SamplesError(
            f"{torn.nunique()} polygon(s) have two folds in the field '{fold}'. Give all features of a polygon the same fold."
        )
    return pairs.set_index("polygon").fold
