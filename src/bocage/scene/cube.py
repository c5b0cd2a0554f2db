"""One source on its own grid: what its cube holds, and how a window of it is made."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SourceError
from bocage.grid import Grid, Ratio, Window
from bocage.scene.gaps import Fill, interpolate
from bocage.scene.indices import INDICES, bands_of
from bocage.sources import Readable
from bocage.sources.raster import RESAMPLINGS


@dataclass(frozen=True)
class Preparation:
    """How a source becomes a cube."""

    indices: tuple[str, ...] = ()
    """Spectral indices appended to the bands, by name or ``"its.module:name"``."""
    fill: Fill | None = None
    """Dates to interpolate onto; left out: native dates and their mask."""
    resampling: str = "nearest"
    """For a source that does not nest in the map grid: nearest, bilinear, cubic, average or mode."""
    ratio: Ratio | None = None
    """How it nests in the map's grid; left out: the whole ratio nearest to that of the ground sampling distances."""

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


@dataclass(frozen=True)
class Cube:
    """A source on its nested grid; nothing is read before :meth:`read`."""

    source: Readable
    grid: Grid
    ratio: Ratio
    preparation: Preparation

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

    def read(self, window: Window) -> Block:
        """Read, mask, fill gaps and append indices, for a window of the cube's own grid."""
        values, valid = self.source.read(self.grid, window, self.preparation.resampling)
        if self.preparation.fill is not None:
            values, valid = interpolate(values, valid, self.source.days, self.days)
        if self.preparation.indices:
            values = self._with_indices(values)
            values *= valid[:, None]
        return Block(values, valid)

    def _with_indices(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        bands = {name: values[:, i] for i, name in enumerate(self.source.bands)}
        layers = [values]
        for name in self.preparation.indices:
            index = INDICES.get(name)
            layer = index(**{band: bands[band] for band in bands_of(index)})
            layers.append(layer.astype(np.float32)[:, None])
        return np.concatenate(layers, axis=1)


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
