"""Imagery of a scene as tiles: one date of a source in up to three bands, with one contrast stretch for the source."""

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bocage.errors import BocageError
from bocage.grid import Grid, Window
from bocage.report.imagery import bands_of, best_source, reduced
from bocage.scene import Cube, Scene
from bocage.sources import Readable, Source, dates_of, with_bands
from bocage.sources.raster import inspect
from bocage.sources.source import spread
from bocage.view.raster import part

COARSE = 256
"""Longer side of the reduced image from which the stretch is computed, in pixels."""
PROBES, SIDE, DATES = 3, 16, 12
"""Windows along each side of the scene, their side in pixels, and dates, by which the clearest date is chosen."""


@dataclass
class Picture:
    """Imagery of one source."""

    cube: Cube
    limits: dict[tuple[str, ...], list[tuple[float, float]]] = field(default_factory=dict)
    """Bands → values displayed as 0 and 255."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def source(self) -> Readable:
        """The source."""
        return self.cube.source

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands shown as red, green and blue, or the one band shown in grey."""
        return bands_of(self.source)

    @cached_property
    def clearest(self) -> int:
        """Position of the date with the most valid pixels in some windows, of dates spread over the series."""
        positions = spread(len(self.source.days), DATES)
        if len(positions) == 1:
            return 0
        grid, counts = self.cube.grid, np.zeros(len(positions))
        few = dates_of(self.source, DATES)
        for window in spread_windows(grid.shape, PROBES, SIDE):
            valid = few.read(grid, window, "nearest")[1]
            counts += valid.sum((1, 2)) if len(valid) == len(positions) else valid[positions].sum((1, 2))
        return positions[int(counts.argmax())]

    def tile(self, grid: Grid, date: int) -> NDArray[np.uint8]:
        """Return a date on a grid as RGBA (y, x, 4), transparent without data; clouds are not masked.

        Raises
        ------
        SourceError
            A file cannot be read.
        """
        values, valid = self._read(grid, date)
        out = np.zeros((*valid.shape, 4), np.uint8)
        limits = self._limits()
        for k in range(3):
            layer, (low, high) = values[k % len(values)], limits[k % len(values)]
            out[..., k] = np.where(valid, np.clip((layer - low) / max(high - low, 1e-9), 0, 1) * 255, 0)
        out[..., 3] = np.where(valid, 255, 0)
        return out

    def _limits(self) -> list[tuple[float, float]]:
        """Return the 2nd and 98th percentiles of the bands at the clearest date, computed once."""
        with self.lock:
            if self.bands not in self.limits:
                values, valid = self._read(reduced(self.cube.grid, COARSE), self.clearest)
                found = [np.percentile(layer[valid], (2, 98)) if valid.any() else (0.0, 1.0) for layer in values]
                self.limits[self.bands] = [(float(low), float(high)) for low, high in found]
            return self.limits[self.bands]

    def _read(self, grid: Grid, date: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the bands shown (band, y, x) and where they have data (y, x)."""
        bands, source = tuple(dict.fromkeys(self.bands)), self.source
        if not isinstance(source, Source):  # derived from others: no file to read directly
            values, known = source.read(grid, grid.window, "nearest")
            found, valid = values[date][[source.bands.index(band) for band in bands]], known[date]
        else:
            found, valid = _acquired(with_bands(source, list(bands)), grid, date)
        return found[[bands.index(band) for band in self.bands]], valid


def _acquired(source: Source, grid: Grid, date: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return a date of a source from its files; a pixel takes the first acquisition of the date that has data there."""
    found = np.zeros((len(source.bands), *grid.shape), np.float32)
    done = np.zeros(grid.shape, bool)
    for i in source.dates[date]:
        acquisition = source.acquisitions[i]
        coarser = grid.resolution > source.grid_of(acquisition).resolution * 1.01
        resampling, known = "average" if coarser else "nearest", ~done
        layers = np.zeros_like(found)
        places = defaultdict(list)
        for k, file in enumerate(acquisition.files.values()):
            dtype = inspect(file.path).dtypes[file.index - 1]  # GDAL reads bands of one data type at once
            places[file.path, file.decoding, dtype].append((k, file.index))
        for (path, decoding, _), members in places.items():
            positions, indexes = zip(*members, strict=True)
            stored, valid = part(path, indexes, grid, resampling, decoding.nodata)
            for value in decoding.special:
                valid &= stored != value
            layers[list(positions)] = decoding.physical(np.where(valid, stored, 0))
            known &= valid.all(0) & np.isfinite(layers[list(positions)]).all(0)
        for k, layer in enumerate(layers):
            found[k][known] = layer[known]
        done |= known
        if done.all():
            break
    return found, done


def spread_windows(shape: tuple[int, int], across: int, side: int) -> list[Window]:
    """Return windows of `side` pixels that are evenly spread over a raster, `across` of them along each axis."""
    (height, width), n = shape, 2 * across
    return [
        Window(height * y // n, width * x // n, side, side).clip(shape)
        for y in range(1, n, 2)
        for x in range(1, n, 2)
    ]  # fmt: skip


@dataclass(frozen=True)
class Pictures:
    """Imagery of every source of a scene, the one to display first."""

    by_source: dict[str, Picture]

    @classmethod
    def of(cls, scene: Scene) -> "Pictures":
        """Return the imagery of a scene; the source with natural colours, then the finest, comes first."""
        first = best_source(scene)
        names = [first, *(name for name in scene.cubes if name != first)]
        return cls({name: Picture(scene.cubes[name]) for name in names})

    def finest(self, grid: Grid) -> float:
        """Return the pixel size of the finest source, at most that of the map."""
        return min(grid.resolution, *(picture.cube.grid.resolution for picture in self.by_source.values()))


def clearest_or_first(picture: Picture) -> int:
    """Return the date to display first: the clearest, or the first where a file cannot be read."""
    try:
        return picture.clearest
    except BocageError:
        return 0
