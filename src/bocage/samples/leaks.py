"""Rasters that predict the labels too well to be imagery: an earlier map of the same area, or the labels themselves."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bocage.grid import Grid, Window
from bocage.samples.rasterise import Pixels
from bocage.sources import Readable, Source
from bocage.sources.source import spread, with_bands

POLYGONS, SIDE = 400, 48
"""Maximum number of polygons that are looked at, and maximum side of the window of a polygon, in pixels of the map."""
DATES = 12
"""Maximum number of dates of a series that are read."""
FEW_VALUES = 64
"""Maximum number of different values of a map of classes."""
PURE = 0.9
"""Share of the pixels of a polygon with its most frequent value, above which the value is that of the polygon."""
SUSPICIOUS, GAIN = 0.9, 0.7
"""Share of polygons whose label follows from the value, and how much of the distance between the largest class and 1 it gains."""

_Polygon = tuple[int, NDArray[np.int32], NDArray[np.int32]]
"""Label, rows and columns of a polygon."""


@dataclass(frozen=True)
class Leak:
    """Band of a source whose values give the labels of the polygons."""

    band: str
    values: int
    """Number of different values."""
    right: int
    """Number of polygons whose label is the most frequent one of the other polygons with the same value."""
    polygons: int


def leaks_of(source: Readable, grid: Grid, pixels: Pixels) -> tuple[Leak, ...]:
    """Return the bands whose few values map almost one to one to the labels on one of the dates that are read.

    Of a series, up to ``DATES`` dates are read, evenly spread. Quality layers are not used: clouds do not change the values of a
    map.

    Raises
    ------
    SourceError
        A file cannot be read.
    """
    polygons, found = _polygons(pixels), dict[str, Leak]()
    for one in _dates(source):
        for leak in _on_date(one, grid, polygons):
            found.setdefault(leak.band, leak)
    return tuple(found[band] for band in source.bands if band in found)


def _dates(source: Readable) -> list[Readable]:
    """Return a source for each date that is read, without quality layers; sources of other types are read on their first date."""
    if not isinstance(source, Source):
        return [source]
    bare = replace(source, acquisitions=tuple(replace(a, quality={}) for a in source.acquisitions))
    return [
        replace(bare, acquisitions=tuple(bare.acquisitions[i] for i in bare.dates[date]))
        for date in spread(len(bare.dates), DATES)
    ]


def _on_date(source: Readable, grid: Grid, polygons: Sequence[_Polygon]) -> list[Leak]:
    """Return the leaks of the first date. A band is read until it has more values than a map of classes."""
    votes: dict[str, list[tuple[float, int]]] = {band: [] for band in source.bands}
    distinct: dict[str, set[float]] = {band: set() for band in source.bands}
    for label, rows, columns in polygons:
        source = _with_few_values(source, distinct)
        if not any(len(values) <= FEW_VALUES for values in distinct.values()):
            return []
        top, left = int(rows.min()), int(columns.min())
        near = (rows < top + SIDE) & (columns < left + SIDE)
        rows, columns = rows[near] - top, columns[near] - left  # noqa: PLW2901 - inside the window
        window = Window(top, left, int(rows.max()) + 1, int(columns.max()) + 1)
        values, valid = source.read(grid, window, "nearest")
        seen = valid[0, rows, columns]
        for band, layer in zip(source.bands, values[0][:, rows, columns], strict=True):
            found, counts = np.unique(layer[seen], return_counts=True)
            distinct[band] |= set(found[: FEW_VALUES + 1].tolist())
            if len(found) and counts.max() >= PURE * counts.sum():
                votes[band].append((float(found[counts.argmax()]), label))
    few = {band: cast for band, cast in votes.items() if len(distinct[band]) <= FEW_VALUES}
    return [leak for band, cast in few.items() if (leak := _judged(band, cast, len(distinct[band])))]


def _with_few_values(source: Readable, distinct: Mapping[str, set[float]]) -> Readable:
    """Return the source with the bands that may still be maps of classes; sources of other types unchanged."""
    few = [band for band in source.bands if len(distinct[band]) <= FEW_VALUES]
    if not isinstance(source, Source) or len(few) in (0, len(source.bands)):
        return source
    return with_bands(source, few)


def _polygons(pixels: Pixels) -> list[_Polygon]:
    """Return label, rows and columns of the pixels of at most ``POLYGONS`` polygons, regularly chosen."""
    numbers, first, where = np.unique(pixels.polygon, return_index=True, return_inverse=True)
    step = max(1, -(-len(numbers) // POLYGONS))
    order = np.argsort(where, kind="stable")
    starts = np.searchsorted(where[order], np.arange(len(numbers) + 1))
    return [
        (int(pixels.label[first[k]]), pixels.row[part], pixels.column[part])
        for k in range(0, len(numbers), step)
        for part in [order[starts[k] : starts[k + 1]]]
    ]


def _judged(band: str, votes: list[tuple[float, int]], values: int) -> Leak | None:
    """Return the leak of a band if the value of a polygon gives its label, judged from the other polygons only."""
    labels = Counter(label for _, label in votes)
    if len(labels) < 2 or values < 2 or len(votes) < 2 * len(labels):
        return None
    tally: dict[float, Counter[int]] = defaultdict(Counter)
    for value, label in votes:
        tally[value][label] += 1
    right = 0
    for value, label in votes:
        others = tally[value] - Counter({label: 1})
        right += bool(others) and others.most_common(1)[0][0] == label
    largest, share = max(labels.values()) / len(votes), right / len(votes)
    if share >= SUSPICIOUS and share - largest >= GAIN * (1 - largest):
        return Leak(band, values, right, len(votes))
    return None
