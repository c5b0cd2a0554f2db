"""Pansharpening: a multispectral source at the resolution of a panchromatic source of the same recipe, computed when read.

The method is ratio component substitution, the method ``rcs`` of the Orfeo ToolBox's ``BundleToPerfectSensor``: each band is
interpolated to the PAN grid, multiplied by PAN, and divided by the mean of PAN in a small square. The interpolation is
bilinear. Masked pixels are excluded from means and interpolation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SourceError
from bocage.grid import Grid, Window, nearest_ratio
from bocage.ranges import Range, check_ranges
from bocage.sources.base import Decoding, SensorSpec
from bocage.sources.placement import resolution_in
from bocage.sources.source import Readable
from bocage.words import Note

SPEC = SensorSpec("pansharpened", "a PAN and an MS source of the recipe, combined at the PAN resolution")


@dataclass(frozen=True)
class Settings:
    """Settings of a pansharpened image in the recipe."""

    pan: str = "pan"
    """Name of the panchromatic source (one band, one date)."""
    ms: str = "ms"
    """Name of the multispectral source (one date), at least 1.5 times coarser."""
    radius: Annotated[int, Range(1, 50)] = 3
    """Radius of the square of the PAN mean, in PAN pixels, at least 1: its side is ``2 * radius + 1`` (Orfeo ToolBox: 3)."""

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class PansharpenedSource:
    """A panchromatic and a multispectral source, read as one image."""

    name: str
    pan: Readable
    ms: Readable
    radius: int

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands of the multispectral source."""
        return self.ms.bands

    @property
    def times(self) -> tuple[datetime | None, ...]:
        """Time of the multispectral image, UTC."""
        return self.ms.times

    @property
    def dated(self) -> bool:
        """Whether the multispectral image has a date."""
        return self.ms.dated

    @property
    def days(self) -> NDArray[np.int32]:
        """Days since 1970-01-01 of the multispectral image; 0 without a date."""
        return self.ms.days

    @property
    def grid(self) -> Grid:
        """Grid of the panchromatic source."""
        return self.pan.grid

    @property
    def decoding(self) -> Decoding:
        """Decoding of the multispectral source, whose units the result has."""
        return self.ms.decoding

    @property
    def notes(self) -> tuple[Note, ...]:
        """None: its sources have their own."""
        return ()

    @property
    def described(self) -> tuple[str, ...]:
        """Text of the settings that the values depend on besides the files; part of the digests."""
        return (f"radius {self.radius}", *self.pan.described, *self.ms.described)

    @property
    def ids(self) -> None:
        """None: the source is imagery."""
        return None

    def over(self, grid: Grid) -> "PansharpenedSource":
        """Return the source without the acquisitions that do not touch `grid`."""
        return replace(self, pan=self.pan.over(grid), ms=self.ms.over(grid))

    def nests_in(self, grid: Grid) -> bool:
        """Return whether PAN nests in `grid`; MS is always interpolated."""
        return self.pan.nests_in(grid)

    def touching(self, grid: Grid, window: Window) -> tuple[int, ...]:
        """Return numbers of the acquisitions that touch a window: even numbers for PAN, odd numbers for MS."""
        both = (self.pan.touching(grid, window), self.ms.touching(grid, window))
        return tuple(2 * i + k for k, found in enumerate(both) for i in found)

    def fingerprints(self, members: tuple[int, ...] | None = None) -> dict[str, str]:
        """Return file path to digest, for all acquisitions or for the numbers `members` (as in :meth:`touching`)."""
        if members is None:
            return self.pan.fingerprints() | self.ms.fingerprints()
        even, odd = (tuple(i // 2 for i in members if i % 2 == k) for k in (0, 1))
        return self.pan.fingerprints(even) | self.ms.fingerprints(odd)

    def read(
        self, grid: Grid, window: Window, resampling: str = "nearest"
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:  # fmt: skip
        """Return values (1, band, y, x) in the units of MS, and valid (1, y, x)."""
        r = self.radius
        pan, seen = self.pan.read(grid, window.pad(r, r), resampling)
        mean = _mean(pan[0, 0], seen[0], r)
        inner = (slice(r, -r), slice(r, -r))
        ms, valid = self._interpolated(grid, window)
        valid &= seen[0][inner] & (mean[inner] > 0)
        gain = np.where(valid, pan[0, 0][inner], 0) / np.where(valid, mean[inner], 1)
        return (ms * gain * valid)[None].astype(np.float32), valid[None]

    def _interpolated(self, grid: Grid, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return MS on a window of the fine grid: values (band, y, x) and valid (y, x)."""
        ratio = nearest_ratio(grid.resolution, resolution_in(self.ms.grid, grid.crs))
        nested = ratio.grid(grid)
        if ratio.coarser == 1 or not self.ms.nests_in(nested):
            values, valid = self.ms.read(grid, window, "bilinear")
            return values[0], valid[0]
        around = ratio.window(window).pad(1, 1)
        values, valid = self.ms.read(nested, around)
        rows = _weights(window.y, window.height, around.y, around.height, ratio.coarser)
        columns = _weights(window.x, window.width, around.x, around.width, ratio.coarser)
        share = rows @ valid[0].astype(np.float32) @ columns.T
        summed = rows @ (values[0] * valid[0]) @ columns.T
        own = np.ix_(
            np.arange(window.y, window.y + window.height) // ratio.coarser - around.y,
            np.arange(window.x, window.x + window.width) // ratio.coarser - around.x,
        )
        return (summed / np.maximum(share, 1e-6)).astype(np.float32), valid[0][own]


def _mean(pan: NDArray[np.float32], seen: NDArray[np.bool_], radius: int) -> NDArray[np.float64]:
    """Return the mean of the valid pixels in the square around each pixel; 0 if none is valid."""
    from scipy import ndimage  # slow to import

    size = 2 * radius + 1
    total = ndimage.uniform_filter(np.where(seen, pan, 0).astype(np.float64), size, mode="constant")
    share = ndimage.uniform_filter(seen.astype(np.float64), size, mode="constant")
    return np.where(share > 1e-9, total / np.maximum(share, 1e-9), 0)


def _weights(start: int, count: int, first: int, held: int, coarser: int) -> NDArray[np.float32]:
    """Return bilinear weights (count, held) of `held` coarse pixels from `first` on, for `count` fine pixels from `start` on."""
    centre = (np.arange(start, start + count) + 0.5) / coarser - 0.5 - first
    low = np.clip(np.floor(centre).astype(int), 0, held - 2)
    part = centre - low
    weights = np.zeros((count, held), np.float32)
    weights[np.arange(count), low] = 1 - part
    weights[np.arange(count), low + 1] = part
    return weights


def derive(name: str, settings: Settings, sources: Mapping[str, Readable]) -> PansharpenedSource:
    """Return the pansharpened source of two sources of the recipe.

    Raises
    ------
    SourceError
        A source is missing, is a series or a table, PAN has several bands, or PAN is not finer than MS.
    """
    for wanted in (settings.pan, settings.ms):
        if wanted not in sources:
            raise SourceError(
                f"no source is called '{wanted}'; the sources are {', '.join(sources)}. Set 'pan' and 'ms'."
            )
    pan, ms = sources[settings.pan], sources[settings.ms]
    for source in (pan, ms):
        if len(source.times) != 1 or source.ids is not None:
            raise SourceError(f"'{source.name}' is not an image of one date, which pansharpening needs.")
    if len(pan.bands) != 1:
        raise SourceError(f"'{pan.name}' has the bands {', '.join(pan.bands)}. A panchromatic image has one band.")
    if resolution_in(ms.grid, pan.grid.crs) < 1.5 * pan.grid.resolution:
        raise SourceError(
            f"'{pan.name}' ({pan.grid.resolution:g}) is not at least 1.5 times finer than '{ms.name}' ({ms.grid.resolution:g}): "
            "pansharpening has no effect."
        )
    return PansharpenedSource(name, pan, ms, settings.radius)
