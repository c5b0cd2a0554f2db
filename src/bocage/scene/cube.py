"""The cube of one source on its own grid, and the computation of a window of it."""

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bocage.disk import digest, in_order
from bocage.errors import SourceError
from bocage.grid import Grid, Ratio, Window
from bocage.scene import store
from bocage.scene.calendar import Calendar
from bocage.scene.gaps import Fill
from bocage.scene.indices import INDICES, bands_of, computed
from bocage.scene.speckle import Speckle
from bocage.scene.temperatures import Temperatures
from bocage.scene.thermal import Thermal
from bocage.sources import HistorySource, Readable, Source
from bocage.sources.raster import RESAMPLINGS, fingerprint


@dataclass(frozen=True)
class Preparation:
    """Preparation of a source: resampling, filtering, gap filling and indices."""

    indices: tuple[str, ...] = ()
    """Spectral indices to append to the bands (``bocage indices`` lists them), by name or ``"its.module:name"``."""
    fill: Fill | None = None
    """Gap filling onto regular dates; default: the acquisition dates, with their mask."""
    resampling: str = "bilinear"
    """Resampling of a source that does not nest in the map grid: "nearest", "bilinear", "cubic", "average" or "mode".

    The default, bilinear, keeps every value between those of its neighbours. Nearest moves pixels by up to half a pixel, and
    repeats or drops some (1.5 m imagery on a grid of 1.43 m). Cubic is sharper, but overshoots beside bright roofs and water.
    Codes are not interpolated: quality layers and rasters with a colour table take the nearest pixel. Set "nearest" or "mode" for
    other rasters of classes."""
    speckle: Speckle | None = None
    """Multitemporal speckle filter, for a radar source in dB."""
    ratio: Ratio | None = None
    """Nesting in the map grid; default: the whole-number ratio nearest to the ratio of the ground sampling distances. A source
    that is much coarser is read with smaller pixels, so that the least common multiple of ``coarser`` is at most 256."""
    thermal: Thermal | None = None
    """Growing degree days as the time input of networks; default: the calendar day."""
    calendar: Calendar | None = None
    """Crop calendars that express the days of this place as the days of the training; default: the days as they are."""
    temperatures: Temperatures | None = None
    """Temperatures that express the days of this place as the days of the training at equal thermal time; default: the days as
    they are."""
    period: tuple[date, date] | None = None
    """First and last day of the dates that are used, for example ``[2021-09-01, 2022-08-31]``; default: all dates."""

    def __post_init__(self) -> None:
        replacing = [name for name in ("thermal", "calendar", "temperatures") if getattr(self, name) is not None]
        if len(replacing) > 1:
            raise ValueError(f"{' and '.join(map(repr, replacing))} replace the days; keep one of them")
        if self.period and self.period[1] < self.period[0]:
            raise ValueError(f"'period' ends ({self.period[1]}) before it begins ({self.period[0]})")
        if self.resampling not in RESAMPLINGS:
            raise ValueError(f"'resampling' must be one of {', '.join(RESAMPLINGS)}; found '{self.resampling}'")

    @property
    def tables(self) -> tuple[Path, ...]:
        """Tables of temperatures or crop calendars that the days depend on."""
        if self.correction:
            return self.correction.tables
        return (self.thermal.temperature,) if self.thermal else ()

    @property
    def correction(self) -> Calendar | Temperatures | None:
        """What expresses the days of this place as the days of the training."""
        return self.calendar or self.temperatures


@dataclass(frozen=True)
class Block:
    """Pixels of a window of a cube, in memory."""

    values: NDArray[np.float32]
    """(time, band, y, x), physical units; 0 where not valid."""
    valid: NDArray[np.bool_]
    """(time, y, x); False where masked or nodata."""
    clear: NDArray[np.uint16]
    """(y, x); number of clear dates, before gap filling."""


@dataclass(frozen=True)
class Cube:
    """A source on its nested grid. Pixels are read by :meth:`read` only."""

    source: Readable
    grid: Grid
    ratio: Ratio
    preparation: Preparation
    prepared: Path | None = None
    """Zarr group of the prepared cube; None: the cube is computed from the files."""
    chosen: tuple[str, ...] = ()
    """Bands and indices to which reading is limited, in this order; empty: all."""

    @property
    def name(self) -> str:
        """Name of the source."""
        return self.source.name

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands, then of the indices; or of the bands to which reading is limited."""
        return self.chosen or self._every

    @property
    def _every(self) -> tuple[str, ...]:
        return self.source.bands + self.preparation.indices

    @property
    def unread(self) -> tuple[str, ...]:
        """Bands and indices that are left out of reading."""
        return tuple(band for band in self._every if band not in self.bands)

    def only(self, bands: tuple[str, ...]) -> "Cube":
        """Return the cube with some of its bands and indices. The prepared cube on disk, if there is one, keeps all."""
        return replace(self, chosen=bands if bands != self._every else ())

    @property
    def days(self) -> NDArray[np.int32]:
        """Days since 1970-01-01 of the dates of the cube, int32 (time,)."""
        fill = self.preparation.fill
        return self.source.days if fill is None else fill.days

    @property
    def clock(self) -> NDArray[np.int32]:
        """Days that networks use as time input, int32 (time,): calendar days, thermal days, or years before the map.

        With crop calendars or temperatures of both places, the calendar days are those of the training. Regular dates of gap
        filling are so already.

        Raises
        ------
        SceneError
            The table of temperatures lacks some days, or the crop calendars cannot be used.
        """
        if isinstance(self.source, HistorySource):
            return self.source.clock
        thermal = self.preparation.thermal
        if thermal is not None and self.source.dated:
            return thermal.days(self.days)
        return self._of_training if self.preparation.fill is None else self.days

    def check_days(self) -> None:
        """Check the tables that the days depend on.

        Raises
        ------
        SceneError
            The table of temperatures lacks some days, or the crop calendars cannot be used.
        """
        _ = self.clock, self._of_training

    @property
    def _of_training(self) -> NDArray[np.int32]:
        """Days of the acquisitions, with crop calendars or temperatures of both places as days of the training."""
        correction = self.preparation.correction
        return self.source.days if correction is None or not self.source.dated else correction.days(self.source.days)

    def fingerprints(self, members: tuple[int, ...] | None = None) -> dict[str, str]:
        """Return file path to digest, for all acquisitions or those at the positions `members`, with the tables of the days."""
        return self.source.fingerprints(members) | {str(path): fingerprint(path) for path in self.preparation.tables}

    @property
    def content(self) -> str:
        """Digest of what is read: dates, decoding and masks, wherever they are from, files of each acquisition, tables."""
        return digest(self.source.described, self._files_of_each(None), *self._tables_of_one_name)

    @property
    def _tables_of_one_name(self) -> tuple[str, ...]:
        """Digests of the tables that the days depend on, if they have one name: paths count by name, and could be exchanged."""
        tables = self.preparation.tables
        alike = len({path.name for path in tables}) < len(tables)
        return tuple(fingerprint(path) for path in tables) if alike else ()

    def _files_of_each(self, members: tuple[int, ...] | None) -> list[tuple[str, ...]]:
        """Return the digests of the files of each acquisition: with those of all in one order, two could be exchanged."""
        if not isinstance(self.source, Source):
            return [in_order(self.source.fingerprints(members))]
        chosen = range(len(self.source.acquisitions)) if members is None else members
        return [in_order(self.source.fingerprints((i,))) for i in chosen]

    @property
    def by_date(self) -> bool:
        """Whether the values of a date depend on the acquisitions of this date only: no gap filling, no multitemporal filter."""
        alone = self.preparation.fill is None and self.preparation.speckle is None
        return alone and isinstance(self.source, Source)

    def shared(self, members: tuple[int, ...]) -> str:
        """Return the digest of what all dates of a window depend on, given the acquisitions that touch it."""
        tables = "".join(fingerprint(path) for path in self.preparation.tables)
        if self.by_date:
            return digest(tables)
        return digest(tables, self.source.described, members, self._files_of_each(members))

    def acquisitions(self, members: tuple[int, ...]) -> dict[str, int]:
        """Return the digest of each acquisition, settings and content, → its position; empty if dates depend on each other."""
        if not self.by_date:
            return {}
        described = self.source.described
        return {digest(described[i], in_order(self.source.fingerprints((i,)))): i for i in members}

    def only_of(self, members: tuple[int, ...]) -> "Cube":
        """Return the cube with the acquisitions at some positions only, read from their files."""
        assert isinstance(self.source, Source)
        kept = tuple(self.source.acquisitions[i] for i in members)
        return replace(self, source=replace(self.source, acquisitions=kept), prepared=None)

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of all files that the values depend on."""
        return tuple(self.fingerprints())

    @property
    def halo(self) -> int:
        """Halo in pixels: the values of a window depend on the source this far around it."""
        return self.preparation.speckle.halo if self.preparation.speckle else 0

    def touching(self, window: Window) -> tuple[int, ...]:
        """Return the positions of the acquisitions that touch a window or its halo."""
        return self.source.touching(self.grid, window.pad(self.halo, self.halo))

    @property
    def is_laborious(self) -> bool:
        """Whether the values are warped, filtered or gap-filled, so that preparation on disk saves time."""
        p = self.preparation
        if self.source.ids is not None:
            return False  # a table is in memory already
        return p.fill is not None or p.speckle is not None or not self.source.nests_in(self.grid)

    def kept_at(self, path: Path) -> "Cube":
        """Return the cube that reads the store written to `path` by :func:`bocage.scene.prepared.prepare`."""
        return replace(self, prepared=path)

    def read(self, window: Window) -> Block:
        """Return a window of the grid of the cube, which may extend beyond it. A prepared cube is read from its store."""
        if self.prepared is None or window.clip(self.grid.shape) != window:
            block = self.compute(window)
        else:
            block = Block(**store.read(self.prepared, window))
        if not self.chosen:
            return block
        positions = [self._every.index(band) for band in self.chosen]
        return replace(block, values=np.ascontiguousarray(block.values[:, positions]))

    def compute(self, window: Window) -> Block:
        """Return a window computed from the files: read, mask, filter speckle, fill gaps, append indices."""
        p, around = self.preparation, window.pad(self.halo, self.halo)
        values, valid = self.source.read(self.grid, around, p.resampling)
        if p.speckle is not None:
            inner = (..., *window.within(around))
            values, valid = np.ascontiguousarray(p.speckle.apply(values, valid)[inner]), valid[inner]
        clear = valid.sum(0, dtype=np.uint16)
        if p.fill is not None:
            values, valid = p.fill.apply(values, valid, self._of_training)
        if p.indices:
            values = self._with_indices(values)
            values *= valid[:, None]
        return Block(values, valid, clear)

    def _with_indices(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        bands = {name: values[:, i] for i, name in enumerate(self.source.bands)}
        layers = [values, *(computed(name, bands)[:, None] for name in self.preparation.indices)]
        return np.concatenate(layers, axis=1)


def check_indices(source: Readable, indices: tuple[str, ...]) -> None:
    """Check that a source has the bands that its indices need.

    Raises
    ------
    SourceError
        A band is missing. The message names it and the bands of the source.
    UnknownNameError
        The index is not registered.
    """
    for name in indices:
        missing = [band for band in bands_of(INDICES.get(name)) if band not in source.bands]
        if missing:
            raise SourceError(
                f"Source '{source.name}': the index {name} needs the band(s) {', '.join(missing)}; "
                f"found {', '.join(source.bands)}. Use the common names of the bands, or remove the index."
            )
