"""Polygons and places for the page: reference polygons with their part and errors, main confusions, the vector map."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError

from bocage.errors import FinishError
from bocage.grid import Grid
from bocage.samples.reference import read_polygons
from bocage.view.viewed import Viewed

MOST = 2_000
"""Maximum number of polygons of the vector map that are sent at a time."""
BOOKMARKS = 8
"""Number of confusions that are listed."""
RIGHT, WRONG = (44, 123, 182, 200), (215, 25, 28, 255)
"""Colours of test pixels, RGBA."""
UNKNOWN = "#808080"
"""Colour of polygons of a set of classes, which is no class of the map."""
GONE = (DataSourceError, DataLayerError, FeatureError, OSError)


def polygons_of(viewed: Viewed) -> dict[str, Any]:
    """Return the reference polygons in the map's CRS as GeoJSON, with the properties of :func:`labelled_polygons`.

    Raises
    ------
    SamplesError
        The polygons cannot be read.
    """
    features = [_feature(shape, properties) for shape, properties in labelled_polygons(viewed)]
    return {"type": "FeatureCollection", "features": features}


def labelled_polygons(viewed: Viewed) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Iterate over the reference polygons in the map's CRS (shapely) and their properties.

    Properties: ``class``, ``color``, ``part`` (train, validation, test, unused), ``tested`` and ``wrong`` (pixels of the test
    part), ``polygon`` (number).

    Raises
    ------
    SamplesError
        The polygons cannot be read.
    """
    recipe = viewed.recipe
    if recipe is None or recipe.reference is None:
        return
    table, _, _ = read_polygons(recipe.reference, viewed.grid, recipe.legend)
    part, tested, wrong = _parts(viewed), _counts(viewed, False), _counts(viewed, True)
    whole = recipe.legend.whole
    colors = dict(zip(whole.names, whole.colors, strict=True))
    for shape, label, polygon in zip(table.geometry, table.label, table.polygon, strict=True):
        number, name = int(polygon), recipe.legend.labelled(int(label)).name
        yield shape, {
            "class": name, "color": colors.get(name, UNKNOWN), "part": part.get(number, "unused"),
            "tested": tested.get(number, 0), "wrong": wrong.get(number, 0), "polygon": number,
        }  # fmt: skip


def _parts(viewed: Viewed) -> dict[int, str]:
    """Return polygon → part of its first pixel in the draw of the map."""
    samples = viewed.samples
    if samples is None:
        return {}
    found: dict[int, str] = {}
    for name, members in samples.parts.items():
        found |= dict.fromkeys(np.unique(samples.polygon[members]).tolist(), name)
    return found


def _counts(viewed: Viewed, only_wrong: bool) -> dict[int, int]:
    """Return polygon → number of its test pixels, or of those with another class."""
    tested = viewed.tested
    if tested is None:
        return {}
    polygons = tested.polygon[~tested.right] if only_wrong else tested.polygon
    numbers, counts = np.unique(polygons, return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def _feature(shape: Any, properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": json.loads(shapely.to_geojson(shape))}


def bookmarks_of(viewed: Viewed) -> list[dict[str, Any]]:
    """Return the confusions with the most test pixels in the draw of the map, each with an example pixel.

    The example is the most confident pixel of the polygon with the most pixels of the confusion.
    """
    tested, names = viewed.tested, viewed.tested_names
    if tested is None or not names:
        return []
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (tested.label, tested.predicted), 1)
    totals = np.maximum(counts.sum(1), 1)
    np.fill_diagonal(wrong := counts.copy(), 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:BOOKMARKS]
    found = []
    for reference, mapped in (divmod(int(k), len(names)) for k in order if wrong.flat[k]):
        members = np.flatnonzero((tested.label == reference) & (tested.predicted == mapped))
        polygons, sizes = np.unique(tested.polygon[members], return_counts=True)
        there = members[tested.polygon[members] == polygons[sizes.argmax()]]
        best = there[tested.confidence[there].argmax()]
        found.append({
            "reference": names[reference], "mapped": names[mapped], "pixels": len(members),
            "share": float(len(members) / totals[reference]),
            "row": int(tested.row[best]), "column": int(tested.column[best]),
        })  # fmt: skip
    return found


def marked(viewed: Viewed, grid: Grid) -> NDArray[np.uint8]:
    """Return the test pixels on the grid of a tile as RGBA: red where wrong, blue where right, at least one pixel each."""
    out, tested = np.zeros((*grid.shape, 4), np.uint8), viewed.tested
    if tested is None:
        return out
    row0, column0 = viewed.grid.offset_of(grid)
    scale = grid.resolution / viewed.grid.resolution
    top, left = ((at - start) / scale for at, start in ((tested.row, row0), (tested.column, column0)))
    top, left = np.floor(top + 1e-6).astype(np.int64), np.floor(left + 1e-6).astype(np.int64)
    side = max(1, round(1 / scale))
    near = (top > -side) & (left > -side) & (top < grid.shape[0]) & (left < grid.shape[1])
    for right, color in ((True, RIGHT), (False, WRONG)):  # errors are painted last
        chosen = near & (tested.right == right)
        if side == 1:
            out[top[chosen], left[chosen]] = color
            continue
        for y, x in zip(top[chosen].tolist(), left[chosen].tolist(), strict=True):
            out[max(y, 0) : y + side, max(x, 0) : x + side] = color
    return out


def vector_file(viewed: Viewed) -> Path | None:
    """Return the vector map in a format with a spatial index; None without one."""
    files = (viewed.layout.finish.polygons(suffix) for suffix in ("fgb", "gpkg"))
    return next((path for path in files if path.exists()), None)


def vectors_in(viewed: Viewed, bounds: tuple[float, float, float, float]) -> dict[str, Any]:
    """Return the polygons of the vector map that touch `bounds`, as GeoJSON; `complete` is False if there are more than ``MOST``.

    Raises
    ------
    FinishError
        The file cannot be read.
    """
    path = vector_file(viewed)
    if path is None:
        return {"type": "FeatureCollection", "features": [], "complete": True}
    try:
        _, numbers, shapes, (codes, names, areas) = pyogrio.raw.read(
            path, bbox=bounds, max_features=MOST + 1, return_fids=True, columns=["code", "class", "area_ha"]
        )
    except GONE as error:
        raise FinishError(
            f"{path} cannot be read: {error}. It may have been moved; run 'bocage finish' again."
        ) from error
    features = [
        _feature(shape, {"code": int(code), "class": str(name), "area_ha": float(area)}) | {"id": int(number)}
        for number, shape, code, name, area in zip(numbers, shapely.from_wkb(shapes), codes, names, areas, strict=True)
    ]
    return {"type": "FeatureCollection", "features": features[:MOST], "complete": len(features) <= MOST}
