"""Features of every object: mean and spread of bands and indices by date, texture, shape and neighbours, as a table.

All sources are read in one pass over tiles. Memory: one tile of all dates of a source, and the pairs of neighbours; the sums of
the objects are in temporary files, 40 bytes for each object, band and date.

::

    ids (y, x) ──────────┬→ shape, neighbours ───────────────┐
    source (T, C, y, x) ─┴→ sums by object → mean, spread ───┤→ contrast to the neighbours → table (N, F)
                          └→ pairs of grey levels → texture ──┘
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bocage.days import date_of
from bocage.disk import naming, replacing, safe_name
from bocage.errors import SceneError
from bocage.grid import Grid, Window
from bocage.layout import ObjectsLayout
from bocage.objects.overlay import Overlay
from bocage.objects.settings import Features
from bocage.objects.shape import Neighbours, Shapes
from bocage.objects.stored import Stored
from bocage.objects.sums import Sums
from bocage.objects.texture import HARALICK, Greys, Textures
from bocage.progress import Progress
from bocage.scene import Cube, in_order, keep_blocks
from bocage.shelf import did_you_mean
from bocage.sources.base import Decoding
from bocage.sources.objects import GROUP, IDENTITY
from bocage.sources.raster import fingerprint, inspect, read


@dataclass(frozen=True)
class _Source:
    """A source, laid on the objects, with its sums."""

    cube: Cube
    overlay: Overlay
    sums: Sums
    textures: Textures | None
    level: NDArray[Any]
    """Mean of each band over all dates, for the contrast (N + 1, C)."""

    @property
    def bands(self) -> list[str]:
        """Names of the bands and indices, preceded by that of the source."""
        return [f"{self.cube.name}_{band}" for band in self.cube.bands]

    def add(self, padded: NDArray[Any], window: Window) -> None:
        """Add the pixels of the source in a window of objects, which is given with a margin of one pixel."""
        own = self.overlay.window(window)
        if not (own.height and own.width):
            return
        around = own.pad(1, 1) if self.textures else own
        block = self.cube.read(around)
        if self.textures:
            fine = self.overlay.fine(padded, window.pad(1, 1), around)
            self.textures.add(fine, block.values[0], block.valid[0])
        inner = (..., *own.within(around))
        self.sums.add(self.overlay.pairs(padded[1:-1, 1:-1], window, own), block.values[inner], block.valid[inner])

    def columns(self, rows: slice) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """Yield name and values of the features of a range of objects."""
        mean, spread = self.sums.moments(rows, self.cube.days)
        for t, when in enumerate(_dates(self.cube)):
            for c, band in enumerate(self.bands):
                yield f"{band}{when}_mean", mean[:, t, c]
                yield f"{band}{when}_std", spread[:, t, c]
        if self.textures:
            found = self.textures.features(rows, mean[:, 0])
            for c, band in enumerate(self.bands):
                yield from ((f"{band}_texture_{measure}", found[:, c, k]) for k, measure in enumerate(HARALICK))


def _dates(cube: Cube) -> list[str]:
    """Return the part of a column's name for each date: empty for a source without dates."""
    if len(cube.days) == 1 and not cube.source.dated:
        return [""]
    days = [f"{date_of(day):_%Y%m%d}" for day in cube.days]
    return [day if days.count(day) == 1 else f"{day}_{days[: t + 1].count(day)}" for t, day in enumerate(days)]


def write_features(
    layout: ObjectsLayout, cubes: Mapping[str, Cube], settings: Features, progress: Progress
) -> tuple[int, int]:
    """Compute the features of the objects of ``objects.tif`` and write the table; return the numbers of objects and features.

    The table has a row for each object, in the order of their numbers, with the column ``id``. A feature without a value, of
    an object without a valid pixel on any date of a source, is null.

    Raises
    ------
    SceneError
        The objects are not on a grid in the CRS of the sources, there are none, or the settings name a source that is missing
        or has no texture.
    """
    objects = _Objects.of(layout, settings.tile, progress)
    chosen = _chosen(cubes, settings, objects.grid)
    folder = layout.scratch / "features"
    shutil.rmtree(layout.scratch, ignore_errors=True)  # of a process that was killed
    try:
        with naming(folder):
            folder.mkdir(parents=True)
        stored = Stored(folder, objects.count)
        shapes = Shapes.new(stored, objects.grid)
        sources = [_source(cube, objects.grid, stored, textured, settings) for cube, textured in chosen]
        read = [cube for cube, _ in chosen]
        keep_blocks(read)
        windows = in_order(objects.grid.tiles(settings.tile), read)
        for done, window in enumerate(windows, start=1):
            padded = objects.read(window.pad(1, 1))
            shapes.add(padded, window)
            if padded[1:-1, 1:-1].any():
                for source in sources:
                    source.add(padded, window)
            progress.step("features of objects", done, len(windows))
        width = _write(layout, _Table(objects, shapes, shapes.neighbours(), sources))
    finally:
        shutil.rmtree(layout.scratch, ignore_errors=True)
    return objects.count, width


@dataclass(frozen=True)
class _Objects:
    """The raster of the objects."""

    layout: ObjectsLayout
    grid: Grid
    count: int

    @classmethod
    def of(cls, layout: ObjectsLayout, tile: int, progress: Progress) -> "_Objects":
        """Open the raster, and count the objects."""
        grid, count = inspect(layout.ids).grid, 0
        windows, one = list(grid.tiles(tile)), cls(layout, grid, 0)
        for done, window in enumerate(windows, start=1):
            count = max(count, int(one.read(window).max()))
            progress.step("counting objects", done, len(windows))
        if not count:
            raise SceneError(f"{layout.ids} has no object. Check the settings of [segment].")
        return cls(layout, grid, count)

    def read(self, window: Window) -> NDArray[np.int64]:
        """Read a window, which may extend beyond the raster; 0 is no object."""
        values, known = read(self.layout.ids, [1], self.grid, window, "nearest", Decoding(nodata=0))
        return np.where(known[0], values[0], 0).astype(np.int64)


def _chosen(cubes: Mapping[str, Cube], settings: Features, grid: Grid) -> list[tuple[Cube, bool]]:
    """Return the sources of the features, and whether each has texture."""
    for key, names in (("sources", settings.sources), ("texture", settings.texture or ())):
        if odd := [name for name in names if name not in cubes]:
            raise SceneError(
                f"[segment.features] {key}: no source is called '{odd[0]}'.{did_you_mean(odd[0], cubes)} The sources are: "
                f"{', '.join(cubes)}."
            )
    names = settings.sources or tuple(cubes)
    if away := [name for name in names if cubes[name].grid.crs != grid.crs]:
        raise SceneError(
            f"The objects are in {grid.crs_name}, and the source '{away[0]}' is on a grid in {cubes[away[0]].grid.crs_name}. Run "
            "'bocage segment' again."
        )
    can = [name for name in names if len(cubes[name].days) == 1 and not Overlay(grid, cubes[name].grid).is_coarser]
    if odd := [name for name in settings.texture or () if name not in can]:
        raise SceneError(
            f"[segment.features] texture: '{odd[0]}' has several dates, has larger pixels than the objects, or is not in "
            "'sources'. Remove it from 'texture'."
        )
    textured = can if settings.texture is None else settings.texture
    return [(cubes[name], name in textured) for name in names]


def _source(cube: Cube, grid: Grid, stored: Stored, textured: bool, settings: Features) -> _Source:
    shape = (len(cube.days), len(cube.bands))
    name = safe_name(cube.name)
    textures = Textures.new(stored, name, Greys.of(cube, settings.grey_levels)) if textured else None
    level = stored.array(f"{name}-level", shape[1:])
    return _Source(cube, Overlay(grid, cube.grid), Sums.new(stored, name, *shape), textures, level)


@dataclass(frozen=True)
class _Table:
    """The features of all objects, a part of the rows at a time."""

    objects: _Objects
    shapes: Shapes
    neighbours: Neighbours
    sources: list[_Source]

    @property
    def parts(self) -> list[slice]:
        """Ranges of object numbers, each a row group of the table."""
        count = self.objects.count
        return [slice(first, min(first + GROUP, count + 1)) for first in range(1, count + 1, GROUP)]

    def prepare(self) -> None:
        """Compute the contrasts to the neighbours in place of the means over the dates."""
        for source in self.sources:
            for rows in self.parts:
                source.level[rows] = source.sums.moments(rows, source.cube.days)[0].mean(1)
            for c in range(source.level.shape[1]):
                source.level[:, c] = self.neighbours.contrast(np.asarray(source.level[:, c]))

    def part(self, rows: slice) -> Any:
        """Return a row group."""
        columns: list[tuple[str, NDArray[Any]]] = [*self.shapes.features(rows).items()]
        columns.append(("neighbours", self.neighbours.count[rows]))
        for source in self.sources:
            columns += source.columns(rows)
            columns += [(f"{band}_contrast", source.level[rows, c]) for c, band in enumerate(source.bands)]
        names = ["id", *(name for name, _ in columns)]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise SceneError(f"Two features are called '{twice}'. Give the sources or bands other names.")
        values = (pa.array(np.asarray(values, np.float32), from_pandas=True) for _, values in columns)
        return pa.table([pa.array(np.arange(rows.start, rows.stop, dtype=np.int64)), *values], names=names)


def _write(layout: ObjectsLayout, table: _Table) -> int:
    """Write the table, and the digest of its objects in its metadata; return the number of features."""
    table.prepare()
    identity = {IDENTITY: json.dumps({"objects": fingerprint(layout.ids), "count": table.objects.count})}
    first, *others = table.parts
    head = table.part(first)
    schema = head.schema.with_metadata(identity)
    with replacing(layout.table) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        writer.write_table(head.cast(schema))
        for rows in others:
            writer.write_table(table.part(rows).cast(schema))
    return len(schema.names) - 1
