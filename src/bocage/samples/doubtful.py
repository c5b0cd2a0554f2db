"""Overlaps of reference polygons, and a vector file of the polygons with what was found about them."""

from collections.abc import Mapping
from dataclasses import dataclass
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
from bocage.vectorfile import filled_names, repaired


@dataclass(frozen=True)
class Outlines:
    """The labelled features of a reference, and how its polygons cover each other."""

    features: gpd.GeoDataFrame
    """Table of :func:`features_to_judge`."""
    overlaps: pd.DataFrame
    """Table of :func:`overlaps_of`."""

    @classmethod
    def of(cls, reference: Reference, legend: Legend) -> "Outlines":
        """Read the labelled features of a reference."""
        features = features_to_judge(reference, legend)
        return cls(features, overlaps_of(features))

    def names(self, polygon: NDArray[Any]) -> list[str]:
        """Return the identifiers of the polygons with the numbers `polygon` (P,); empty for −1."""
        called = dict(zip(self.features.polygon.tolist(), self.features["name"], strict=True)) | {-1: ""}
        return [called[p] for p in polygon.tolist()]

    def covering(self, polygon: NDArray[Any], much: float) -> list[str]:
        """Return the identifier of the polygon that covers most of each polygon; empty without one.

        It is one of another class if this covers more than the share `much`.
        """
        found = self.overlaps.reindex(polygon)
        other, same = found.other.fillna(0), found.same.fillna(0)
        by = found.other_as.where((other >= same) | (other > much), found.same_as)
        return self.names(by.fillna(-1).to_numpy(np.int64))


def features_to_judge(reference: Reference, legend: Legend) -> gpd.GeoDataFrame:
    """Return the labelled features of a reference: ``geometry``, ``label``, ``polygon`` (number), ``name`` (as text).

    The name is the identifier of the polygon, or that of the sample, or, if the reference has neither, the number of the polygon.
    A polygon without an identifier is called "unnamed" and its number.
    """
    fields = (reference.sample_id,) if reference.sample_id else ()
    table = labelled_features(reference, legend, fields)[0].reset_index(drop=True)
    column = "polygon_name" if reference.polygon_id else column_of(reference.sample_id)
    if column not in table:
        return table.assign(name=table.polygon.astype(str))
    return table.assign(name=filled_names(table[column].map(plain).tolist(), table.polygon.tolist()))


def overlaps_of(features: gpd.GeoDataFrame) -> pd.DataFrame:
    """Return, by number of the polygon, the largest share that another polygon covers: ``same`` and ``other`` class.

    ``same_as`` and ``other_as`` are the numbers of these polygons. The share is that of the area of all features of a polygon
    that all features of the other one cover; of points, that of their number. Polygons without an overlap, and lines, are missing
    from the table.
    """
    shapes = repaired(features.geometry.to_numpy())
    there = np.isin(shapely.get_dimensions(shapes), (0, 2)) & ~shapely.is_empty(shapes)
    shapes, (polygon, label) = shapes[there], features[["polygon", "label"]].to_numpy()[there].T
    numbers, first, unit = np.unique(polygon, return_index=True, return_inverse=True)
    whole, label = _united(shapes, unit), label[first]
    one, two, common = _common_parts(shapes, unit)
    share = _size(common, whole[one]) / _size(whole, whole)[one]
    pairs = pd.DataFrame({"polygon": numbers[one], "as": numbers[two], "share": share})
    pairs["same"] = label[one] == label[two]
    pairs = pairs[pairs.share > 0].sort_values("share", ascending=False, kind="stable")
    found: dict[str, pd.Series] = {}
    for name, of_kind in (("same", pairs[pairs.same]), ("other", pairs[~pairs.same])):
        largest = of_kind.drop_duplicates("polygon").set_index("polygon")
        found |= {name: largest.share, f"{name}_as": largest["as"]}
    return pd.DataFrame(found)


def _common_parts(shapes: NDArray[Any], unit: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the pairs of polygons that touch, twice, and what they have in common: (Q,) each.

    `unit` (F,) is the polygon of each feature.
    """
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    apart = unit[first] != unit[second]
    first, second = first[apart], second[apart]
    count = int(unit.max(initial=0)) + 1
    pairs, number = np.unique(unit[first] * count + unit[second], return_inverse=True)
    return *np.divmod(pairs, count), _united(shapely.intersection(shapes[first], shapes[second]), number)


def _united(shapes: NDArray[Any], number: NDArray[np.int64]) -> NDArray[Any]:
    """Return the union of the geometries with each number, from 0 and without gaps."""
    order = np.argsort(number, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(number[order])) + 1) if len(order) else []
    found = np.empty(len(parts), object)
    for k, part in enumerate(parts):
        found[k] = shapes[part[0]] if len(part) == 1 else shapely.union_all(shapes[part])
    return found


def _size(shapes: NDArray[Any], of: NDArray[Any]) -> NDArray[np.float64]:
    """Return the area of each geometry; its number of points if the geometry `of` which it is a part has no area."""
    return np.asarray(np.where(shapely.area(of) > 0, shapely.area(shapes), shapely.get_num_coordinates(shapes)), float)


def write_features(path: Path, features: gpd.GeoDataFrame, columns: Mapping[str, Any]) -> None:
    """Write a GeoPackage with the features of the polygons and `columns` (P,); remove an earlier one if they have no location.

    The column ``polygon`` is the number of the polygon. A feature without a geometry has a row without one.

    Raises
    ------
    SamplesError
        The file cannot be written.
    """
    if features.crs is None or (features.geometry.isna() | features.geometry.is_empty).all():
        path.unlink(missing_ok=True)
        return
    rows = pd.DataFrame(columns).drop_duplicates("polygon")
    table = features[["polygon", "geometry"]].merge(rows, on="polygon", how="inner")
    try:
        with replacing(path, path.with_name(f".{path.stem}.part{path.suffix}")) as partial:
            partial.unlink(missing_ok=True)
            table.sort_values("rank", kind="stable").to_file(partial, driver="GPKG", layer=path.stem, engine="pyogrio")
    except RuntimeError as error:  # pyogrio's errors are of many types below this one
        raise SamplesError(
            f"{path} cannot be written: {' '.join(str(error).split())[:200]}. Is the disk full?"
        ) from error
