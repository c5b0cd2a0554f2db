"""Overlaps of reference polygons, and a vector file of the polygons with what was found about them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from bocage.disk import replacing
from bocage.errors import SamplesError
from bocage.legend import Legend, plain
from bocage.samples.reference import Reference, column_of, labelled_features
from bocage.vectorfile import repaired


def features_to_judge(reference: Reference, legend: Legend) -> gpd.GeoDataFrame:
    """Return the labelled features of a reference: ``geometry``, ``label``, ``polygon`` (number), ``name`` (as text).

    The name is the identifier of the polygon, else that of the sample, else the number of the polygon.
    """
    fields = (reference.sample_id,) if reference.sample_id else ()
    table = labelled_features(reference, legend, fields)[0].reset_index(drop=True)
    column = "polygon_name" if reference.polygon_id else column_of(reference.sample_id)
    names = table[column].map(plain) if column in table else table.polygon.astype(str)
    return table.assign(name=names.where(names.ne(""), table.polygon.astype(str)))


def overlaps_of(features: gpd.GeoDataFrame) -> pd.DataFrame:
    """Return, by number of the polygon, the largest share that another polygon covers: ``same`` and ``other`` class.

    ``same_as`` and ``other_as`` are the numbers of these polygons. Points overlap if they are equal. Polygons without an overlap
    are missing from the table.
    """
    shapes = repaired(features.geometry.to_numpy())
    there = np.flatnonzero(~(shapely.is_missing(shapes) | shapely.is_empty(shapes)))
    tree = shapely.STRtree(shapes[there])
    first, second = (there[one] for one in tree.query(shapes[there], predicate="intersects"))
    polygon, label = features.polygon.to_numpy(), features.label.to_numpy()
    apart = polygon[first] != polygon[second]
    first, second = first[apart], second[apart]
    area = shapely.area(shapes[first])
    common = shapely.area(shapely.intersection(shapes[first], shapes[second]))
    share = np.where(area > 0, common / np.where(area > 0, area, 1), (shapely.area(shapes[second]) == 0).astype(float))
    pairs = pd.DataFrame({"polygon": polygon[first], "as": polygon[second], "share": share})
    pairs["same"] = label[first] == label[second]
    pairs = pairs[pairs.share > 0].sort_values("share", ascending=False, kind="stable")
    found: dict[str, pd.Series] = {}
    for name, of_kind in (("same", pairs[pairs.same]), ("other", pairs[~pairs.same])):
        largest = of_kind.drop_duplicates("polygon").set_index("polygon")
        found |= {name: largest.share, f"{name}_as": largest["as"]}
    return pd.DataFrame(found)


def write_features(path: Path, features: gpd.GeoDataFrame, columns: Mapping[str, Any], polygon: NDArray[Any]) -> None:
    """Write a GeoPackage with the features of the polygons and `columns` (P,); remove an earlier one if they have no location.

    Parameters
    ----------
    polygon : (P,)
        Number of the polygon of each row of `columns`.

    Raises
    ------
    SamplesError
        The file cannot be written.
    """
    there = features[~(features.geometry.isna() | features.geometry.is_empty)]
    if there.crs is None or not len(there):
        path.unlink(missing_ok=True)
        return
    rows = pd.DataFrame({"polygon": polygon, **columns}).drop_duplicates("polygon")
    table = there[["polygon", "geometry"]].merge(rows, on="polygon", how="inner")
    try:
        with replacing(path, path.with_name(f".{path.stem}.part{path.suffix}")) as partial:
            partial.unlink(missing_ok=True)
            table.sort_values("rank", kind="stable").to_file(partial, driver="GPKG", layer=path.stem, engine="pyogrio")
    except RuntimeError as error:  # pyogrio's errors are of many types below this one
        raise SamplesError(
            f"{path} cannot be written: {' '.join(str(error).split())[:200]}. Is the disk full?"
        ) from error
