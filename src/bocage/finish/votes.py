"""One class for each object or parcel of a map, from the classes or the probabilities of its pixels; tile by tile.

All sums are sums of whole numbers, so that the result is the same for any tiles. Memory: one tile, and the sums of each object
or parcel for each class.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from bocage.disk import replacing
from bocage.errors import FinishError
from bocage.finish.settings import Vote
from bocage.finish.vectors import geo_metadata, writing
from bocage.finish.within import Parcels, Within
from bocage.grid import Grid, Window
from bocage.legend import Legend
from bocage.mapping.delivered import Delivered
from bocage.progress import Progress
from bocage.sources.base import Decoding
from bocage.sources.raster import inspect, read
from bocage.textfile import write_csv

RENAMED = "parcel_"
"""Precedes the name of a field of the parcels that is also the name of a column of the votes."""


@dataclass(frozen=True)
class Votes:
    """Sums over the pixels with a class of each object or parcel."""

    ids: NDArray[np.int64]
    """Number of each object or parcel with a pixel on the map, ascending (N,)."""
    legend: Legend
    counts: NDArray[np.int64]
    """Number of pixels of each class (N, K)."""
    likely: NDArray[np.int64] | None = None
    """Sum of the probabilities of each class as they are stored (N, K); None: the majority votes."""
    per_unit: int = 1
    """Stored value of the probability 1."""

    @property
    def pixels(self) -> NDArray[np.int64]:
        """Number of pixels with a class (N,)."""
        return np.asarray(self.counts.sum(1))

    @property
    def winner(self) -> NDArray[np.int64]:
        """Position of the winning class in the legend, the first of equal ones; -1 without a pixel with a class (N,)."""
        sums = self.counts if self.likely is None else self.likely
        return np.where(self.pixels > 0, sums.argmax(1), -1)

    def columns(self) -> dict[str, Any]:
        """Return the columns of the table; null without a pixel with a class."""
        winner, pixels = self.winner, self.pixels
        none, at = winner < 0, (np.arange(len(winner)), np.maximum(winner, 0))
        codes, names = (np.array(values)[at[1]] for values in (self.legend.codes, self.legend.names))
        share = self.counts / np.maximum(pixels, 1)[:, None]
        columns = {
            "code": pa.array(codes.astype(np.int32), mask=none), "class": pa.array(names.tolist(), mask=none),
            "share": pa.array(share[at], mask=none),
        }  # fmt: skip
        measure = share
        if self.likely is not None:
            measure = self.likely / np.maximum(pixels, 1)[:, None] / self.per_unit
            columns["probability"] = pa.array(measure[at], mask=none)
        return columns | {"margin": pa.array(_margin(measure), mask=none), "pixels": pixels}


def _margin(measure: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far the first class of each row is ahead of the second (N,)."""
    if measure.shape[1] < 2:
        return measure[:, 0]
    second, first = np.partition(measure, measure.shape[1] - 2, axis=1)[:, -2:].T
    return np.asarray(first - second)


def count_votes(land: Delivered, within: Within, vote: Vote, progress: Progress) -> Votes:
    """Sum classes, and probabilities if they vote, over the pixels of each object or parcel.

    Raises
    ------
    FinishError
        Probabilities vote, and the map has none; or no object has a pixel on the map.
    """
    probabilities = _Probabilities.of(land) if vote == "probability" else None
    ids, windows = _numbers(within, progress), within.ids.windows
    shape = (len(ids), len(land.legend.codes))
    counts = np.zeros(shape, np.int64)
    likely = np.zeros(shape, np.int64) if probabilities else None
    table = land.legend.positions() + 1
    for done, window in enumerate(windows, start=1):
        own = within.ids.read(window).ravel()
        rank = table[land.read("classes", land.grid, window, 0).ravel()]
        at = np.flatnonzero((own > 0) & (rank > 0))
        here, which = np.unique(own[at], return_inverse=True)
        row = np.searchsorted(ids, here)
        cells = np.bincount(which * shape[1] + rank[at] - 1, minlength=len(here) * shape[1])
        counts[row] += cells.reshape(len(here), shape[1])
        if probabilities and likely is not None:
            for k, band in enumerate(probabilities.read(window)):  # whole numbers are exact in sums of float64
                likely[row, k] += np.bincount(which, band.ravel()[at], len(here)).astype(np.int64)
        progress.step("counting votes", done, len(windows))
    return Votes(ids, land.legend, counts, likely, probabilities.per_unit if probabilities else 1)


def _numbers(within: Within, progress: Progress) -> NDArray[np.int64]:
    """Return the numbers of the objects or parcels with a pixel on the map, ascending."""
    found, windows = np.zeros(0, np.int64), within.ids.windows
    for done, window in enumerate(windows, start=1):
        found = np.union1d(found, np.unique(within.ids.read(window)))
        progress.step("listing objects", done, len(windows))
    found = found[found > 0]
    if not len(found):
        raise FinishError(
            "[finish] within: no pixel of the map is in an object. Check that the objects are those of this map."
        )
    return found


@dataclass(frozen=True)
class _Probabilities:
    """The layer of probabilities of a map."""

    path: Path
    grid: Grid
    bands: int
    per_unit: int
    """Stored value of the probability 1."""

    @classmethod
    def of(cls, land: Delivered) -> "_Probabilities":
        path = land.path("probabilities")
        if not path.exists():
            raise FinishError(
                f"[finish] vote: the map {land.folder} has no layer 'probabilities' in the format 'cog'. Add it to [map] layers "
                "and run 'bocage map', or set vote = \"majority\"."
            )
        info, count = inspect(path), len(land.legend.codes)
        if info.count != count:
            raise FinishError(
                f"[finish] vote: {path} has {info.count} bands, and the legend {count} classes. Run 'bocage map' again."
            )
        return cls(path, land.grid, count, 100 if info.dtype == "uint8" else 10_000)

    def read(self, window: Window) -> NDArray[Any]:
        """Return the stored probabilities of a window (K, y, x); 0 where there are none."""
        values, known = read(self.path, range(1, self.bands + 1), self.grid, window, "nearest", Decoding())
        return np.where(known, values, np.zeros(1, values.dtype))


def voted(land: Delivered, within: Within, votes: Votes) -> Iterator[tuple[Window, NDArray[Any]]]:
    """Yield window and codes of each tile: the class of the object or parcel where a pixel has one and is in one."""
    codes = np.array([*land.legend.codes, 0], np.int64)[votes.winner]
    for window in within.ids.windows:
        ids, own = within.ids.read(window), land.read("classes", land.grid, window, 0)
        at = np.minimum(np.searchsorted(votes.ids, ids), len(votes.ids) - 1)
        yield window, np.where((ids > 0) & (own > 0), codes[at], own)


# --- tables
def write_votes(votes: Votes, parcels: Parcels | None, grid: Grid, table: Path, csv: Path) -> None:
    """Write the table of the votes: Parquet for objects; GeoParquet and CSV for parcels, with the fields of their file.

    Parameters
    ----------
    table
        Parquet or GeoParquet file.
    csv
        CSV file, for parcels.
    """
    if parcels is None:
        with replacing(table) as partial, writing(table):
            pq.write_table(pa.table({"id": votes.ids, **votes.columns()}), partial)
        return
    everyone = _with_all(votes, len(parcels.number))
    own = {"parcel": parcels.number, **everyone.columns()}
    names = _beside(parcels.fields.column_names, [*own, "geometry"])
    content = pa.table({**own, **dict(zip(names, parcels.fields.columns, strict=True))})
    write_csv(csv, [content.column_names, *(_cells(row) for row in content.to_pylist())])
    shapes = parcels.zones.shapes
    bounds = tuple(float(v) for v in shapely.total_bounds(shapes))
    content = content.append_column("geometry", pa.array(shapely.to_wkb(shapes), pa.binary()))
    kinds = sorted({shape.geom_type for shape in shapes})
    with replacing(table) as partial, writing(table):
        pq.write_table(content.replace_schema_metadata(geo_metadata(grid, kinds, bounds)), partial)


def _beside(fields: Sequence[str], own: Sequence[str]) -> list[str]:
    """Return the names of fields beside columns `own`: those that are taken have a prefix, and no two are the same.

    >>> _beside(["class", "parcel_class", "crop"], ["parcel", "class"])
    ['parcel_parcel_class', 'parcel_class', 'crop']
    """
    taken = {name.lower() for name in own}
    kept = {name for name in fields if name.lower() not in taken}
    taken |= {name.lower() for name in kept}
    found = []
    for name in fields:
        new = name
        while name not in kept and new.lower() in taken:
            new = f"{RENAMED}{new}"
        taken.add(new.lower())
        found.append(new)
    return found


def _with_all(votes: Votes, count: int) -> Votes:
    """Return the votes of all parcels, numbered from 1 to `count`; without pixels for those outside the map."""

    def spread(sums: NDArray[np.int64]) -> NDArray[np.int64]:
        found = np.zeros((count, sums.shape[1]), np.int64)
        found[votes.ids - 1] = sums
        return found

    likely = None if votes.likely is None else spread(votes.likely)
    return Votes(np.arange(1, count + 1), votes.legend, spread(votes.counts), likely, votes.per_unit)


def _cells(row: dict[str, Any]) -> list[Any]:
    return ["" if v is None else f"{v:.4f}" if k in MEASURES else v for k, v in row.items()]


MEASURES = ("share", "probability", "margin")
"""Columns that the CSV file has with four digits."""
