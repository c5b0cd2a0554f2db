"""Points whose series lie in a table → labelled rows of that table."""

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.errors import SamplesError
from bocage.grid import metres_per_unit
from bocage.legend import Legend
from bocage.samples.rasterise import Pixels
from bocage.samples.reference import Reference, Rejection, labelled_features
from bocage.sources.table import texts


def label_rows(
    reference: Reference, ids: tuple[str, ...], legend: Legend, fold: str
) -> tuple[Pixels, list[Rejection], pd.Series, NDArray[np.float64] | None]:
    """Label the rows of a table of series by the features that carry their ids.

    Returns
    -------
    The rows as pixels of a raster one column wide, what was rejected, the fold of each polygon (empty without a field of
    folds), and where the rows are (N, 2), in metres north and east; None where the features have no CRS.

    Raises
    ------
    SamplesError
        ``sample_id`` is not given or not a field, or no feature has a series.
    """
    if not reference.sample_id:
        raise SamplesError("The sources are tables: say in [reference] sample_id which field holds the sample's id.")
    table, rejections = labelled_features(reference, legend, (reference.sample_id, *filter(None, [fold])))
    found = texts(table[reference.sample_id])
    twice = found.duplicated()
    if twice.any():
        raise SamplesError(
            f"{reference.shown}: {int(twice.sum())} features repeat a sample id ({found[twice].iloc[0]})."
        )
    rows = pd.Series(np.arange(len(ids)), index=list(ids)).reindex(found).to_numpy()
    without = np.isnan(rows)
    for label, n in table.label[without].value_counts().items():
        rejections.append(Rejection("no_series", legend.names[int(label)], int(n), 0))
    if without.all():
        raise SamplesError(
            f"{reference.shown}: no {reference.sample_id} is in the table (the first here: {found.iloc[0]}; there: {ids[0]})."
        )
    table, rows = table[~without], rows[~without].astype(np.int32)
    order = np.argsort(rows, kind="stable")
    table, rows = table.iloc[order], rows[order]
    pixels = Pixels(
        rows, np.zeros(len(rows), np.int32), table.label.to_numpy(np.int16), table.polygon.to_numpy(np.int32)
    )
    return pixels, rejections, folds_of(table, fold), _places(table)


def _places(table: gpd.GeoDataFrame) -> NDArray[np.float64] | None:
    if table.crs is None or table.geometry.isna().any() or table.geometry.is_empty.any():
        return None
    bounds = table.geometry.bounds
    north, east = (bounds.miny + bounds.maxy).to_numpy() / 2, (bounds.minx + bounds.maxx).to_numpy() / 2
    metres = np.array(metres_per_unit(table.crs, float(north.mean())))
    return np.asarray(np.stack([north, east], 1) * metres)


def folds_of(table: pd.DataFrame, fold: str) -> pd.Series:
    """Return the fold of every polygon number, as text; empty without a field of folds.

    Raises
    ------
    SamplesError
        A feature has no fold, or one polygon has two.
    """
    if not fold:
        return pd.Series(dtype=str)
    if table[fold].isna().any():
        raise SamplesError(f"{int(table[fold].isna().sum())} features have no value in the field of folds '{fold}'.")
    pairs = pd.DataFrame({"polygon": table.polygon.to_numpy(), "fold": texts(table[fold]).to_numpy()}).drop_duplicates()
    torn = pairs.polygon[pairs.polygon.duplicated()]
    if len(torn):
        raise SamplesError(
            f"{torn.nunique()} polygon(s) lie in two folds of the field '{fold}'; a polygon may not be on two sides of a split."
        )
    return pairs.set_index("polygon").fold
