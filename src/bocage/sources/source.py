"""The noun that leaves this room: a sensor's acquisitions, readable window by window onto any grid."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SourceError
from bocage.grid import Grid, Window
from bocage.sources.base import Acquisition, Decoding, Sensor
from bocage.sources.raster import fingerprint, inspect, nests, read


@dataclass(frozen=True)
class Source:
    """A sensor and its acquisitions over a region."""

    name: str
    sensor: Sensor
    acquisitions: tuple[Acquisition, ...]
    decoding: Decoding

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands, in order; every acquisition has them all."""
        return tuple(self.acquisitions[0].files)

    @property
    def dated(self) -> bool:
        """Whether its acquisitions have dates."""
        return self.acquisitions[0].time is not None

    @property
    def days(self) -> NDArray[np.int32]:
        """Days since 1970-01-01 of every acquisition; zeros where there is no date."""
        times = [np.datetime64(a.time or "1970-01-01", "D") for a in self.acquisitions]
        return np.array(times).astype(np.int32)

    @property
    def grid(self) -> Grid:
        """The grid of its finest band."""
        first = self.acquisitions[0]
        grids = [inspect(file.path).grid for file in first.files.values()]
        return min(grids, key=lambda grid: grid.resolution)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file behind it, sorted."""
        files = {f.path for a in self.acquisitions for f in (*a.files.values(), a.quality) if f}
        return tuple(sorted(files))

    def fingerprints(self) -> dict[str, str]:
        """Path to digest of every file behind it."""
        return {str(path): fingerprint(path) for path in self.paths}

    def nests_in(self, grid: Grid) -> bool:
        """Whether every band can be read onto `grid` without interpolation."""
        files = {f.path for a in self.acquisitions for f in a.files.values()}
        return all(nests(inspect(path).grid, grid) for path in files)

    def read(
        self, grid: Grid, window: Window, resampling: str = "nearest"
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read every acquisition onto a window of `grid`.

        Returns
        -------
        values : float32 (time, band, y, x), physical units; 0 where not valid
        valid : bool (time, y, x); every band has data there and the quality layer says clear

        Raises
        ------
        SourceError
            A file cannot be read.
        """
        shape = (len(self.acquisitions), len(self.bands), window.height, window.width)
        values = np.zeros(shape, np.float32)
        valid = np.ones((shape[0], *shape[2:]), bool)
        places = defaultdict(list)
        for t, acquisition in enumerate(self.acquisitions):
            for c, name in enumerate(self.bands):
                places[acquisition.files[name].path].append((t, c, acquisition.files[name].index))
        for path, wanted in places.items():
            self._read_file(path, wanted, grid, window, resampling, values, valid)
        self._mask_quality(grid, window, valid)
        values *= valid[:, None]
        return values, valid

    def _read_file(
        self,
        path: Path,
        wanted: Sequence[tuple[int, int, int]],
        grid: Grid,
        window: Window,
        resampling: str,
        values: NDArray[np.float32],
        valid: NDArray[np.bool_],
    ) -> None:
        ts, cs, indexes = (list(column) for column in zip(*wanted, strict=True))
        stored, has_data = read(path, indexes, grid, window, resampling, self.decoding.nodata)
        stored = np.where(has_data, stored, 0).astype(np.float32)
        values[ts, cs] = stored * np.float32(self.decoding.scale) + np.float32(self.decoding.offset)
        for t, layer in zip(ts, has_data, strict=True):
            valid[t] &= layer

    def _mask_quality(self, grid: Grid, window: Window, valid: NDArray[np.bool_]) -> None:
        places = defaultdict(list)
        for t, acquisition in enumerate(self.acquisitions):
            if acquisition.quality:
                places[acquisition.quality.path].append((t, acquisition.quality.index))
        for path, wanted in places.items():
            quality, known = read(path, [i for _, i in wanted], grid, window, "nearest", None)
            for (t, _), layer, inside in zip(wanted, quality, known, strict=True):
                valid[t] &= inside & self.sensor.clear_mask(self.acquisitions[t], layer)


def check_overlap(source: Source, grid: Grid) -> None:
    """Refuse a source that does not touch the map.

    Raises
    ------
    SourceError
        Not one pixel of the source lies in the map's grid.
    """
    ours = source.grid.geobox.extent.to_crs("EPSG:4326")
    if not ours.intersects(grid.geobox.extent.to_crs("EPSG:4326")):
        raise SourceError(
            f"The source '{source.name}' ({source.grid.bounds} in {source.grid.crs_name}) does not overlap the map grid "
            f"({grid.bounds} in {grid.crs_name}); check the files and [grid]."
        )
