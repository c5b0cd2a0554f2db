"""A multispectral image at the resolution of a panchromatic one, both sources of the same recipe; nothing is written.

Ratio component substitution, as the method ``rcs`` of the Orfeo ToolBox's ``BundleToPerfectSensor`` does it: every band,
interpolated to the PAN grid, times PAN, divided by the mean of PAN over a small square. Masked pixels take no part in
means or interpolation. The interpolation is bilinear.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bocage.errors import SourceError
from bocage.grid import Grid, Window, nearest_ratio
from bocage.sources.base import Decoding, SensorSpec
from bocage.sources.raster import resolution_in
from bocage.sources.source import Readable
from bocage.words import Note

SPEC = SensorSpec("pansharpened", "a PAN and an MS source of the recipe, as one image at the PAN resolution")


@dataclass(frozen=True)
class Settings:
    """What the recipe says of a pansharpened image."""

    pan: str = "pan"
    """The panchromatic source of the recipe (one band, one date)."""
    ms: str = "ms"
    """The multispectral source of the recipe (one date), coarser."""
    radius: int = 3
    """The mean of PAN goes over a square of ``2 * radius + 1`` pixels a side (the Orfeo ToolBox's filter has 3), at least 1."""

    def __post_init__(self) -> None:
        if self.radius < 1:
            raise ValueError(f"'radius' is at least 1; found {self.radius}")


@dataclass(frozen=True)
class PansharpenedSource:
    """Two sources, readable as one."""

    name: str
    pan: Readable
    ms: Readable
    radius: int

    @property
    def bands(self) -> tuple[str, ...]:
        """The multispectral bands."""
        return self.ms.bands

    @property
    def times(self) -> tuple[datetime | None, ...]:
        """That of the multispectral image."""
        return self.ms.times

    @property
    def dated(self) -> bool:
        """Whether the multispectral image is."""
        return self.ms.dated

    @property
    def days(self) -> NDArray[np.int32]:
        """That of the multispectral image."""
        return self.ms.days

    @property
    def grid(self) -> Grid:
        """The panchromatic grid."""
        return self.pan.grid

    @property
    def decoding(self) -> Decoding:
        """That of the multispectral image, whose units the result has."""
        return self.ms.decoding

    @property
    def notes(self) -> tuple[Note, ...]:
        """None: its sources have their own."""
        return ()

    @property
    def described(self) -> tuple[str, ...]:
        """What its values depend on besides the files."""
        return (f"radius {self.radius}", *self.pan.described, *self.ms.described)

    @property
    def ids(self) -> None:
        """None: imagery."""
        return None

    def over(self, grid: Grid) -> "PansharpenedSource":
        """Return it without what does not touch `grid`."""
        return replace(self, pan=self.pan.over(grid), ms=self.ms.over(grid))

    def nests_in(self, grid: Grid) -> bool:
        """Whether PAN does; MS is interpolated anyhow."""
        return self.pan.nests_in(grid)

    def touching(self, grid: Grid, window: Window) -> tuple[int, ...]:
        """Even numbers for acquisitions of PAN, odd ones for those of MS."""
        both = (self.pan.touching(grid, window), self.ms.touching(grid, window))
        return tuple(2 * i + k for k, found in enumerate(both) for i in found)

    def fingerprints(self, members: tuple[int, ...] | None = None) -> dict[str, str]:
        """Path to digest of every file behind it, or behind some acquisitions."""
        if members is None:
            return self.pan.fingerprints() | self.ms.fingerprints()
        even, odd = (tuple(i // 2 for i in members if i % 2 == k) for k in (0, 1))
        return self.pan.fingerprints(even) | self.ms.fingerprints(odd)

    def read(
        self, grid: Grid, window: Window, resampling: str = "nearest"
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:  # fmt: skip
        """Values (1, band, y, x) in the units of MS, and valid (1, y, x)."""
        r = self.radius
        pan, seen = self.pan.read(grid, window.pad(r, r), resampling)
        mean = _mean(pan[0, 0], seen[0], r)
        inner = (slice(r, -r), slice(r, -r))
        ms, valid = self._interpolated(grid, window)
        valid &= seen[0][inner] & (mean[inner] > 0)
        gain = np.where(valid, pan[0, 0][inner], 0) / np.where(valid, mean[inner], 1)
        return (ms * gain * valid)[None].astype(np.float32), valid[None]

    def _interpolated(self, grid: Grid, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """MS on a window of the fine grid: (band, y, x) and (y, x)."""
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
    """Mean of the valid pixels of the square around each pixel; 0 where there is none."""
    size = 2 * radius + 1
    total = ndimage.uniform_filter(np.where(seen, pan, 0).astype(np.float64), size, mode="constant")
    share = ndimage.uniform_filter(seen.astype(np.float64), size, mode="constant")
    return np.where(share > 1e-9, total / np.maximum(share, 1e-9), 0)


def _weights(start: int, count: int, first: int, held: int, coarser: int) -> NDArray[np.float32]:
    """Bilinear weights (count, held) of coarse pixels `first`… for fine pixels `start`…, by their centres."""
    centre = (np.arange(start, start + count) + 0.5) / coarser - 0.5 - first
    low = np.clip(np.floor(centre).astype(int), 0, held - 2)
    part = centre - low
    weights = np.zeros((count, held), np.float32)
    weights[np.arange(count), low] = 1 - part
    weights[np.arange(count), low + 1] = part
    return weights


def derive(name: str, settings: Settings, sources: Mapping[str, Readable]) -> PansharpenedSource:
    """Join two sources of the recipe.

    Raises
    ------
    SourceError
        One is missing, is a series or a table, or PAN is not the finer one.
    """
    for wanted in (settings.pan, settings.ms):
        if wanted not in sources:
            raise SourceError(
                f"no source is called '{wanted}'; there are {', '.join(sources)}. Name them with pan and ms."
            )
    pan, ms = sources[settings.pan], sources[settings.ms]
    for one in (pan, ms):
        if len(one.times) != 1 or one.ids is not None:
            raise SourceError(f"'{one.name}' is not an image of one date, which pansharpening needs.")
    if len(pan.bands) != 1:
        raise SourceError(f"'{pan.name}' has the bands {', '.join(pan.bands)}; a panchromatic image has one.")
    if resolution_in(ms.grid, pan.grid.crs) < 1.5 * pan.grid.resolution:
        raise SourceError(
            f"'{pan.name}' ({pan.grid.resolution:g}) is not finer than '{ms.name}' ({ms.grid.resolution:g}): there is nothing "
            "to sharpen."
        )
    return PansharpenedSource(name, pan, ms, settings.radius)
