"""One source on its own grid: what its cube holds, and how a window of it is made."""

import functools
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from bocage.errors import SourceError
from bocage.grid import Grid, Ratio, Window
from bocage.scene.gaps import Fill
from bocage.scene.indices import INDICES, bands_of
from bocage.scene.speckle import Speckle
from bocage.scene.thermal import Thermal
from bocage.sources import Readable
from bocage.sources.raster import RESAMPLINGS, fingerprint


@dataclass(frozen=True)
class Preparation:
    """How a source becomes a cube."""

    indices: tuple[str, ...] = ()
    """Spectral indices appended to the bands, by name or ``"its.module:name"``."""
    fill: Fill | None = None
    """Dates to interpolate onto; left out: native dates and their mask."""
    resampling: str = "nearest"
    """For a source that does not nest in the map grid: nearest, bilinear, cubic, average or mode."""
    speckle: Speckle | None = None
    """Multitemporal filter of radar speckle; the source is in dB."""
    ratio: Ratio | None = None
    """How it nests in the map's grid; left out: the whole ratio nearest to that of the ground sampling distances."""
    thermal: Thermal | None = None
    """Tell networks the warmth gathered instead of the day of the year; left out: the day."""

    def __post_init__(self) -> None:
        if self.resampling not in RESAMPLINGS:
            raise ValueError(f"'resampling' is one of {', '.join(RESAMPLINGS)}; found '{self.resampling}'")


@dataclass(frozen=True)
class Block:
    """A window of a cube, in memory."""

    values: NDArray[np.float32]
    """(time, band, y, x); physical units; 0 where not valid."""
    valid: NDArray[np.bool_]
    """(time, y, x)."""
    clear: NDArray[np.uint16]
    """(y, x): clear dates, before any filling."""


@dataclass(frozen=True)
class Cube:
    """A source on its nested grid; nothing is read before :meth:`read`."""

    source: Readable
    grid: Grid
    ratio: Ratio
    preparation: Preparation
    prepared: Path | None = None
    """Zarr group that holds it, once prepared."""

    @property
    def name(self) -> str:
        """The source's name."""
        return self.source.name

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands, then indices."""
        return self.source.bands + self.preparation.indices

    @property
    def days(self) -> NDArray[np.int32]:
        """Days since 1970-01-01 of the cube's dates."""
        fill = self.preparation.fill
        return self.source.days if fill is None else fill.days

    @property
    def clock(self) -> NDArray[np.int32]:
        """Days that networks are told: those of the calendar, or thermal ones.

        Raises
        ------
        SceneError
            The table of temperatures does not hold every day.
        """
        thermal = self.preparation.thermal
        return self.days if thermal is None or not self.source.dated else thermal.days(self.days)

    def fingerprints(self, members: tuple[int, ...] | None = None) -> dict[str, str]:
        """Path to digest of every file behind it, or behind some acquisitions and their clock."""
        thermal = self.preparation.thermal
        found = self.source.fingerprints(members)
        return found | ({str(thermal.temperature): fingerprint(thermal.temperature)} if thermal else {})

    @property
    def halo(self) -> int:
        """Pixels around a window that its values depend on."""
        return self.preparation.speckle.halo if self.preparation.speckle else 0

    def touching(self, window: Window) -> tuple[int, ...]:
        """Numbers of the acquisitions that the values of a window may come from, its halo included."""
        return self.source.touching(self.grid, window.pad(self.halo, self.halo))

    @property
    def is_laborious(self) -> bool:
        """Whether its values are warped, filtered or filled: work that is better done once."""
        p = self.preparation
        if self.source.ids is not None:
            return False  # a table is in memory already
        return p.fill is not None or p.speckle is not None or not self.source.nests_in(self.grid)

    def kept_at(self, path: Path) -> "Cube":
        """Return the cube that reads what :func:`bocage.scene.prepared.prepare` wrote to `path`."""
        return replace(self, prepared=path)

    def read(self, window: Window) -> Block:
        """Return a window of the cube's own grid, which may reach outside: from disk where it is prepared there."""
        if self.prepared is None or window.clip(self.grid.shape) != window:
            return self.compute(window)
        group = _store(self.prepared)
        ys, xs = slice(window.y, window.y + window.height), slice(window.x, window.x + window.width)
        return Block(group["values"][:, :, ys, xs], group["valid"][:, ys, xs], group["clear"][ys, xs])

    def compute(self, window: Window) -> Block:
        """Read the files, mask, filter, fill gaps and append indices."""
        p, around = self.preparation, window.pad(self.halo, self.halo)
        values, valid = self.source.read(self.grid, around, p.resampling)
        if p.speckle is not None:
            inner = (..., *window.within(around))
            values, valid = np.ascontiguousarray(p.speckle.apply(values, valid)[inner]), valid[inner]
        clear = valid.sum(0, dtype=np.uint16)
        if p.fill is not None:
            values, valid = p.fill.apply(values, valid, self.source.days)
        if p.indices:
            values = self._with_indices(values)
            values *= valid[:, None]
        return Block(values, valid, clear)

    def _with_indices(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        bands = {name: values[:, i] for i, name in enumerate(self.source.bands)}
        layers = [values]
        for name in self.preparation.indices:
            index = INDICES.get(name)
            layer = index(**{band: bands[band] for band in bands_of(index)})
            layers.append(layer.astype(np.float32)[:, None])
        return np.concatenate(layers, axis=1)


class _Stores(threading.local):
    """Zarr groups that this thread has open."""

    def __init__(self) -> None:
        self.open = functools.lru_cache(maxsize=64)(lambda path, made: zarr.open_group(path, mode="r", zarr_format=3))


_STORES = _Stores()


def _store(path: Path) -> Any:
    return _STORES.open(path, (path / "zarr.json").stat().st_mtime_ns)


def check_indices(source: Readable, indices: tuple[str, ...]) -> None:
    """Refuse an index whose bands the source does not have.

    Raises
    ------
    SourceError
        A band is missing; the message names it and those there are.
    UnknownNameError
        The index is on no shelf.
    """
    for name in indices:
        missing = [band for band in bands_of(INDICES.get(name)) if band not in source.bands]
        if missing:
            raise SourceError(
                f"Source '{source.name}': the index {name} needs the band(s) {', '.join(missing)}; "
                f"found {', '.join(source.bands)}. Name the bands by their common names, or leave the index out."
            )
