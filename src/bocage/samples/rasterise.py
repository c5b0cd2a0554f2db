"""Polygons → labelled pixels: a pixel belongs to the polygon that contains its centre."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from bocage.grid import Grid
from bocage.legend import Legend
from bocage.samples.reference import Rejection

ROWS = 256
"""Number of pixel rows tested at a time; limits memory for polygons as large as the scene."""


@dataclass(frozen=True)
class Pixels:
    """Labelled pixels of the map's grid, as arrays (N,)."""

    row: NDArray[np.int32]
    column: NDArray[np.int32]
    label: NDArray[np.int16]
    """Position of the class in the legend; negative for a coarser class (``Legend.index_of``)."""
    polygon: NDArray[np.int32]
    """Number of the polygon."""

    def take(self, index: NDArray[Any]) -> "Pixels":
        """Return the pixels at the positions `index`."""
        return Pixels(self.row[index], self.column[index], self.label[index], self.polygon[index])

    def __len__(self) -> int:
        return len(self.row)


def firsts_of(parts: Sequence[Pixels]) -> list[int]:
    """Return what to add to the polygon numbers of each part, so that no number is in two parts."""
    counts = [int(part.polygon.max(initial=-1)) + 1 for part in parts]
    return [sum(counts[:k]) for k in range(len(counts))]


def joined_pixels(parts: Sequence[Pixels], firsts: Sequence[int] | None = None) -> Pixels:
    """Return the pixels of several parts, one after the other, with polygon numbers of their own for each.

    Polygon numbers are those of a part plus its first, by default that of :func:`firsts_of`.
    """

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    added = np.repeat(np.array(firsts_of(parts) if firsts is None else firsts, np.int32), [len(part) for part in parts])
    return Pixels(column("row"), column("column"), column("label"), column("polygon") + added)


def rasterise(table: gpd.GeoDataFrame, grid: Grid, legend: Legend) -> tuple[Pixels, list[Rejection]]:
    """Label the pixels whose centre is inside a polygon of `table` (columns geometry, label, polygon).

    A pixel inside polygons of different classes is rejected. A pixel inside several polygons of the same class is assigned
    to the first polygon.

    Returns
    -------
    The labelled pixels, and the rejections: polygons smaller than a pixel, and pixels with conflicting labels.
    """
    rejections = []
    parts = []
    empty: dict[int, int] = {}
    for geometry, label, polygon in zip(table.geometry, table.label, table.polygon, strict=True):
        row, column = pixels_inside(geometry, grid)
        if not len(row):
            empty[int(label)] = empty.get(int(label), 0) + 1
        parts.append((row, column, np.full(len(row), label, np.int16), np.full(len(row), polygon, np.int32)))
    for label, n in sorted(empty.items()):
        rejections.append(Rejection("too_small", legend.labelled(label).name, n, 0))
    if not parts:
        nothing = np.zeros(0, np.int32)
        return Pixels(nothing, nothing, nothing.astype(np.int16), nothing), rejections
    pixels = Pixels(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return _without_conflicts(pixels, grid, legend, rejections)


def pixels_inside(geometry: Any, grid: Grid) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return rows and columns of the pixels of `grid` whose centre is inside `geometry` (same CRS)."""
    west, south, east, north = geometry.bounds
    (c0, r0), (c1, r1) = ~grid.transform @ (west, north), ~grid.transform @ (east, south)
    top, bottom = max(int(np.floor(r0)), 0), min(int(np.ceil(r1)), grid.shape[0])
    left, right = max(int(np.floor(c0)), 0), min(int(np.ceil(c1)), grid.shape[1])
    shapely.prepare(geometry)
    found_rows, found_columns = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    if right > left:
        columns = np.arange(left, right, dtype=np.int32)
        for start in range(top, bottom, ROWS):
            rows = np.arange(start, min(start + ROWS, bottom), dtype=np.int32)
            x, y = np.meshgrid(
                grid.transform.c + (columns + 0.5) * grid.transform.a,
                grid.transform.f + (rows + 0.5) * grid.transform.e,
            )
            inside = np.nonzero(shapely.contains_xy(geometry, x, y))
            found_rows.append(rows[inside[0]])
            found_columns.append(columns[inside[1]])
    return np.concatenate(found_rows), np.concatenate(found_columns)


def _without_conflicts(
    pixels: Pixels, grid: Grid, legend: Legend, rejections: list[Rejection]
) -> tuple[Pixels, list[Rejection]]:
    frame = pd.DataFrame({"cell": pixels.row.astype(np.int64) * grid.shape[1] + pixels.column, "label": pixels.label})
    conflict = frame.groupby("cell")["label"].transform("nunique").to_numpy() > 1
    for label in np.unique(pixels.label[conflict]):
        mask = conflict & (pixels.label == label)
        polygons = len(np.unique(pixels.polygon[mask]))
        rejections.append(Rejection("overlap", legend.labelled(int(label)).name, polygons, int(mask.sum())))
    repeated = frame.duplicated("cell").to_numpy()
    return pixels.take(np.flatnonzero(~conflict & ~repeated)), rejections
