"""A source: the acquisitions of a sensor, which can be read window by window onto any grid.

**Several acquisitions of one date.** Tiles of a mosaic and duplicates (a product processed twice, two tiles that
overlap) are merged into one date: each pixel takes all its bands from the first acquisition that is clear at this pixel. A
sensor lists the acquisitions of a date with the most recent processing first, then by name.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from bocage.disk import digest_of
from bocage.errors import SourceError
from bocage.grid import Grid, Window
from bocage.sources.base import Acquisition, BandFile, Decoding, Sensor
from bocage.sources.placement import covered, nests, share_covered, touches
from bocage.sources.raster import fingerprint, inspect, read
from bocage.words import Note


class Readable(Protocol):
    """Interface of a source, independent of the format of its data."""

    @property
    def name(self) -> str:
        """Name of the source in the recipe."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Common names of the bands, in order."""

    @property
    def times(self) -> tuple[datetime | None, ...]:
        """Time of each date, UTC, ascending; None for imagery without a date."""

    @property
    def dated(self) -> bool:
        """Whether the acquisitions have dates."""

    @property
    def days(self) -> NDArray[np.int32]:
        """Days since 1970-01-01 of each date, int32 (time,); 0 for imagery without a date."""

    @property
    def grid(self) -> Grid:
        """Grid of the finest band, over the area covered by all acquisitions."""

    @property
    def decoding(self) -> Decoding:
        """Decoding of the stored values of the first band."""

    @property
    def notes(self) -> tuple[Note, ...]:
        """What was left out when it was opened."""

    @property
    def described(self) -> tuple[str, ...]:
        """Text of the settings that the values depend on besides the files (dates, masks, decoding); part of the digests."""

    def over(self, grid: Grid) -> "Readable":
        """Return the source without the acquisitions that do not touch `grid`; their number is added to its notes."""

    @property
    def ids(self) -> tuple[str, ...] | None:
        """Sample ids, one per row of the grid, if the source is a table; None for imagery."""

    def nests_in(self, grid: Grid) -> bool:
        """Return whether every band can be read onto `grid` without interpolation."""

    def touching(self, grid: Grid, window: Window) -> tuple[int, ...]:
        """Return the positions of the acquisitions that touch a window of `grid`."""

    def fingerprints(self, members: tuple[int, ...] | None = None) -> dict[str, str]:
        """Return file path to digest, for all acquisitions or for those at the positions `members`."""

    def read(
        self, grid: Grid, window: Window, resampling: str = "nearest"
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return values (time, band, y, x) in physical units and valid (time, y, x) on a window of `grid`."""


@dataclass(frozen=True)
class Source:
    """A sensor and its acquisitions over an area."""

    name: str
    sensor: Sensor
    acquisitions: tuple[Acquisition, ...]
    notes: tuple[Note, ...] = ()

    @property
    def ids(self) -> None:
        """None: the source is imagery."""
        return None

    @property
    def bands(self) -> tuple[str, ...]:
        """Common names of the bands, in order. Every acquisition has all of them."""
        return tuple(self.acquisitions[0].files)

    @property
    def decoding(self) -> Decoding:
        """Decoding of the stored values of the first band of the first acquisition."""
        return self.acquisitions[0].files[self.bands[0]].decoding

    @cached_property
    def dates(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the acquisitions of each date, in order of time. Within a date, the preferred acquisition comes first."""
        groups: dict[str, list[int]] = defaultdict(list)
        for i, acquisition in enumerate(self.acquisitions):
            groups[acquisition.date or f"#{i}"].append(i)
        return tuple(tuple(members) for members in groups.values())

    @property
    def times(self) -> tuple[datetime | None, ...]:
        """Time of each date, UTC: the time of its first acquisition; None for imagery without a date."""
        return tuple(self.acquisitions[members[0]].time for members in self.dates)

    @property
    def dated(self) -> bool:
        """Whether the acquisitions have dates."""
        return self.acquisitions[0].time is not None

    @property
    def days(self) -> NDArray[np.int32]:
        """Days since 1970-01-01 of each date, int32 (time,); 0 for imagery without a date."""
        times = [np.datetime64(time or "1970-01-01", "D") for time in self.times]
        return np.array(times).astype(np.int32)

    @cached_property
    def grid(self) -> Grid:
        """Grid of the finest band, in the most frequent CRS of the acquisitions, over the area covered by all of them."""
        grids = [self.grid_of(acquisition) for acquisition in self.acquisitions]
        crs = Counter(grid.crs_name for grid in grids).most_common(1)[0][0]
        return union([grid for grid in grids if grid.crs_name == crs], grids)

    def grid_of(self, acquisition: Acquisition) -> Grid:
        """Return the grid of the finest band of an acquisition."""
        grids = [inspect(file.path).grid for file in acquisition.files.values()]
        return min(grids, key=lambda grid: grid.resolution)

    @cached_property
    def described(self) -> tuple[str, ...]:
        """Text of the settings that the values depend on besides the content of files (dates, masks, decoding)."""
        versioned = getattr(self.sensor, "VERSIONED", False)
        return tuple(_without_folders(a, versioned) for a in self.acquisitions)

    def over(self, grid: Grid) -> "Source":
        """Return the source without the acquisitions that do not touch `grid`; their number is added to its notes."""
        near = tuple(a for a in self.acquisitions if touches(self.grid_of(a), grid, grid.window))
        if len(near) in (0, len(self.acquisitions)):
            return self
        gone = [a for a in self.acquisitions if a not in near]
        days = ", ".join(sorted({f"{a.time:%Y-%m-%d}" for a in gone if a.time})[:5])
        note = Note.of("outside_map", self.name, n=len(gone), total=len(self.acquisitions), days=days)
        return replace(self, acquisitions=near, notes=(*self.notes, note))

    def touching(self, grid: Grid, window: Window) -> tuple[int, ...]:
        """Return the positions of the acquisitions that touch a window of `grid`."""
        return tuple(i for i, own in enumerate(self.grids) if touches(own, grid, window))

    @cached_property
    def grids(self) -> tuple[Grid, ...]:
        """Grid of the finest band of each acquisition."""
        return tuple(self.grid_of(acquisition) for acquisition in self.acquisitions)

    def fingerprints(self, members: tuple[int, ...] | None = None) -> dict[str, str]:
        """Return file path to digest, for all acquisitions or for those at the positions `members`.

        The files behind a VRT and the side files that change what is read are included.
        """
        chosen = self.acquisitions if members is None else [self.acquisitions[i] for i in members]
        files = {file for a in chosen for path in _paths(a) for file in inspect(path).files}
        return {str(file): fingerprint(file) for file in sorted(files)}

    def nests_in(self, grid: Grid) -> bool:
        """Return whether every band can be read onto `grid` without interpolation."""
        files = {f.path for a in self.acquisitions for f in a.files.values()}
        return all(nests(inspect(path).grid, grid) for path in files)

    def read(
        self, grid: Grid, window: Window, resampling: str = "nearest"
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read every date onto a window of `grid`.

        Returns
        -------
        values : float32 (time, band, y, x), physical units; 0 where not valid
        valid : bool (time, y, x); True where every band has data and the quality layers are clear

        Raises
        ------
        SourceError
            A file cannot be read.
        """
        reading = _Reading(self, grid, window, resampling)
        values, valid = reading.acquisitions([members[0] for members in self.dates])
        for rank in range(1, max(len(members) for members in self.dates)):
            slots = [t for t, members in enumerate(self.dates) if len(members) > rank]
            wanted = [(t, self.dates[t][rank]) for t in slots if self._near(self.dates[t][rank], grid, window)]
            if wanted:
                more, seen = reading.acquisitions([i for _, i in wanted])
                for (t, _), layer, clear in zip(wanted, more, seen, strict=True):
                    new = clear & ~valid[t]
                    values[t][:, new] = layer[:, new]
                    valid[t] |= new
        return values, valid

    def _near(self, position: int, grid: Grid, window: Window) -> bool:
        return touches(self.grids[position], grid, window)


def _without_folders(acquisition: Acquisition, versioned: bool) -> str:
    """Return the text of an acquisition with the names of its files, without their folders, which may be moved.

    Files of one name are numbered in the order of their paths, which is that of their digests: they may not be exchanged. If the
    names are `versioned`, they are replaced by these numbers: another version with the same content is the same file. The
    polygons of a mask are a digest, because their text is cut off.
    """
    paths = sorted(set(_paths(acquisition)), key=str)
    names = Counter(path.name for path in paths)
    shown = {path: f"{path.name} {k}" if names[path.name] > 1 else path.name for k, path in enumerate(paths)}
    if versioned:
        shown = {path: f"file {k}" for k, path in enumerate(paths)}

    def renamed(files: Mapping[str, BandFile]) -> dict[str, BandFile]:
        return {name: replace(file, path=Path(shown[file.path])) for name, file in files.items()}

    cover = acquisition.hidden
    plain = replace(
        acquisition, files=renamed(acquisition.files), quality=renamed(acquisition.quality), hidden=None, details={}
    )
    parts = [f"{plain!r}"]
    if cover:
        parts.append(f"{cover.crs} {digest_of(shapely.to_wkb(cover.polygons))}")
    bands = {**acquisition.files, **acquisition.quality}
    if opaque := [name for name, file in bands.items() if not file.decoding.alpha]:
        parts.append(f"no alpha: {', '.join(opaque)}")
    return " ".join(parts)


def _paths(acquisition: Acquisition) -> list[Path]:
    return [f.path for f in (*acquisition.files.values(), *acquisition.quality.values())]


@dataclass(frozen=True)
class _Reading:
    """Reads a window of several acquisitions. Each file is read once for all the dates that it contains."""

    source: Source
    grid: Grid
    window: Window
    resampling: str

    def acquisitions(self, positions: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return values (position, band, y, x) and valid (position, y, x) of the acquisitions at `positions`."""
        bands, wanted = self.source.bands, [self.source.acquisitions[i] for i in positions]
        values = np.zeros((len(wanted), len(bands), self.window.height, self.window.width), np.float32)
        valid = np.zeros((len(wanted), self.window.height, self.window.width), bool)
        grids, places = [self.source.grids[i] for i in positions], defaultdict(list)
        for t, (acquisition, own) in enumerate(zip(wanted, grids, strict=True)):
            if len(wanted) == 1 or touches(own, self.grid, self.window):
                valid[t] = True
                for c, name in enumerate(bands):
                    file = acquisition.files[name]
                    places[file.path, file.decoding].append((t, c, file.index))
        for (path, decoding), members in places.items():
            ts, cs, indexes = (list(column) for column in zip(*members, strict=True))
            stored, has_data = read(path, indexes, self.grid, self.window, self.resampling, decoding)
            for t, c, layer, known in zip(ts, cs, stored, has_data, strict=True):
                decoding.physical(layer if known.all() else np.where(known, layer, 0), out=values[t, c])
                valid[t] &= known
        self._mask(wanted, valid)
        for t, clear in enumerate(valid):
            if not clear.all():
                values[t] *= clear.astype(np.float32)  # a bool factor would be converted for each band
        return values, valid

    def _mask(self, wanted: Sequence[Acquisition], valid: NDArray[np.bool_]) -> None:
        layers = self._quality_layers(wanted, valid)
        for t, acquisition in enumerate(wanted):
            if layers[t]:
                valid[t] &= self.source.sensor.clear_mask(acquisition, layers[t])
            if acquisition.hidden is not None and valid[t].any():
                valid[t] &= ~covered(acquisition.hidden.polygons, acquisition.hidden.crs, self.grid, self.window)

    def _quality_layers(self, wanted: Sequence[Acquisition], valid: NDArray[np.bool_]) -> list[dict[str, NDArray[Any]]]:
        """Return the quality layers of each acquisition, and set `valid` to False where a layer has nodata.

        A nodata value that the sensor or the recipe lists as clear is clear: many masks declare 0, their only clear value, as
        nodata.
        """
        places = defaultdict(list)
        for t, acquisition in enumerate(wanted):
            if valid[t].any():
                for name, file in acquisition.quality.items():
                    clear = inspect(file.path).nodatas[file.index - 1] in acquisition.clear
                    decoding = Decoding(nodata=math.nan if clear else None, alpha=file.decoding.alpha)
                    places[file.path, decoding].append((t, name, file.index))
        layers: list[dict[str, NDArray[Any]]] = [{} for _ in wanted]
        for (path, decoding), members in places.items():
            indexes = [i for *_, i in members]
            found, known = read(path, indexes, self.grid, self.window, "nearest", decoding)
            for (t, name, _), layer, inside in zip(members, found, known, strict=True):
                layers[t][name] = layer
                valid[t] &= inside
        return layers


def union(grids: Sequence[Grid], others: Sequence[Grid] = ()) -> Grid:
    """Return the finest of `grids`, extended by whole pixels to cover all `grids` and `others`."""
    finest = min(grids, key=lambda grid: grid.resolution)
    if all(grid == finest for grid in (*grids, *others)):
        return finest
    boxes = []
    for grid in {g.geobox: g for g in (*grids, *others)}.values():
        west, south, east, north = grid.geobox.extent.to_crs(finest.crs).boundingbox
        (c0, r0), (c1, r1) = ~finest.transform @ (west, north), ~finest.transform @ (east, south)
        boxes.append((math.floor(r0 + 1e-6), math.floor(c0 + 1e-6), math.ceil(r1 - 1e-6), math.ceil(c1 - 1e-6)))
    top, left = min(b[0] for b in boxes), min(b[1] for b in boxes)
    bottom, right = max(b[2] for b in boxes), max(b[3] for b in boxes)
    moved = finest.transform @ Affine.translation(left, top)
    return Grid.of(finest.crs, moved, (bottom - top, right - left))


def check_overlap(source: Readable, grid: Grid) -> None:
    """Check that a source overlaps the map grid.

    Raises
    ------
    SourceError
        No pixel of the map is inside the source.
    """
    if share_covered(source.grid, grid) == 0:
        raise SourceError(
            f"The source '{source.name}' ({source.grid.bounds} in {source.grid.crs_name}) does not overlap the map grid "
            f"({grid.bounds} in {grid.crs_name}). Check the files of the source and [grid]."
        )


def dates_of(source: Readable, most: int) -> Readable:
    """Return the source with at most `most` of its dates, evenly spread. Sources of other types are returned unchanged."""
    if not isinstance(source, Source):
        return source
    dates = [source.dates[i] for i in spread(len(source.dates), most)]
    return replace(source, acquisitions=tuple(source.acquisitions[i] for members in dates for i in members))


def spread(n: int, most: int) -> list[int]:
    """Return at most `most` of the integers 0 to `n` - 1, evenly spread, the first and the last included."""
    return sorted({round(i) for i in np.linspace(0, n - 1, min(n, most))})


def with_bands(source: Source, bands: list[str]) -> Source:
    """Return the source with the given bands only, in the given order."""
    chosen = (replace(a, files={name: a.files[name] for name in bands}) for a in source.acquisitions)
    return replace(source, acquisitions=tuple(chosen))
