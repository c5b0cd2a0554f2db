"""Confidence and novelty of a complete map, by class: what a map says about itself without reference data."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bocage.grid import Window
from bocage.mapping.engine import LandCoverMap
from bocage.sources.base import Decoding
from bocage.sources.raster import read

TILE = 1024
"""Side of the windows that are read, in map pixels."""
LIMIT = 100
"""Novelty up to which a pixel is like the training data, as in the layer."""
NODATA = 255
"""Value without data in the layers confidence and novelty."""


@dataclass(frozen=True)
class Sureness:
    """Sums over the pixels of each class (K,), in the order of the legend."""

    pixels: NDArray[np.float64]
    """Pixels."""
    confidence: NDArray[np.float64]
    """Sum of the confidence, 0 to 1 for a pixel; NaN if the map has no layer of the confidence."""
    beyond: NDArray[np.float64]
    """Pixels with a novelty above the limit; NaN if the map has no layer of the novelty."""
    confidence_beyond: NDArray[np.float64]
    """Sum of the confidence over these pixels; NaN without one of the layers."""

    @property
    def means(self) -> list[float | None]:
        """Mean confidence of each class, 0 to 1; None without pixels or confidence."""
        return [_ratio(total, n) for total, n in zip(self.confidence, self.pixels, strict=True)]

    @property
    def unlike(self) -> list[float | None]:
        """Share of the pixels of each class that are unlike the training data, 0 to 1; None without pixels or novelty."""
        return [_ratio(total, n) for total, n in zip(self.beyond, self.pixels, strict=True)]

    def mean(self, weight: NDArray[np.float64]) -> float | None:
        """Return the mean confidence, 0 to 1; `weight` (K,) is the area of a pixel of each class."""
        return _share(weight, self.confidence, self.pixels)

    def share_beyond(self, weight: NDArray[np.float64]) -> float | None:
        """Return the share of the area that is unlike the training data, 0 to 1."""
        return _share(weight, self.beyond, self.pixels)

    def mean_beyond(self, weight: NDArray[np.float64]) -> float | None:
        """Return the mean confidence of the area that is unlike the training data, 0 to 1; None without such pixels."""
        return _share(weight, self.confidence_beyond, self.beyond)

    def mean_inside(self, weight: NDArray[np.float64]) -> float | None:
        """Return the mean confidence of the area that is like the training data, 0 to 1; None without such pixels."""
        return _share(weight, self.confidence - self.confidence_beyond, self.pixels - self.beyond)


def sureness(land: LandCoverMap) -> Sureness:
    """Sum the confidence and the novelty of a map by class, window by window."""
    place = land.legend.positions()
    sums = np.zeros((4, len(land.legend.codes)))
    for window in land.grid.tiles(TILE):
        codes = _layer(land, "classes", window, 0)
        inside = codes > 0
        if not inside.any():
            continue
        index = place[codes[inside].astype(np.int64)]
        sure, novel = (_layer(land, name, window, NODATA)[inside] for name in ("confidence", "novelty"))
        far = np.where(np.isnan(novel), np.nan, novel > LIMIT)
        for k, values in enumerate((np.ones(len(index)), sure / 100, far, sure / 100 * far)):
            sums[k] += np.bincount(index, weights=values, minlength=sums.shape[1])
    return Sureness(*sums)


def share_beyond(land: LandCoverMap) -> float:
    """Return the share of the pixels of a map with a novelty above the limit, 0 to 1.

    All pixels are counted: the overviews of a layer are means, in which single pixels above the limit disappear.
    """
    seen = beyond = 0
    for window in land.grid.tiles(TILE):
        found, there = read(land.files["novelty"], [1], land.grid, window, "nearest", Decoding(nodata=NODATA))
        seen += int(there[0].sum())
        beyond += int((found[0][there[0]] > LIMIT).sum())
    return beyond / max(1, seen)


def _layer(land: LandCoverMap, name: str, window: Window, nodata: int) -> NDArray[np.float64]:
    """Read a window of a layer; NaN if the map has no such layer."""
    if name not in land.files or not land.files[name].exists():
        return np.full((window.height, window.width), np.nan)
    found, there = read(land.files[name], [1], land.grid, window, "nearest", Decoding(nodata=nodata))
    return np.where(there[0], found[0], nodata if name == "classes" else 0).astype(np.float64)


def _share(weight: NDArray[np.float64], total: NDArray[np.float64], count: NDArray[np.float64]) -> float | None:
    return _ratio(float(weight @ total), float(weight @ count))


def _ratio(total: float, count: float) -> float | None:
    found = total / count if count else np.nan
    return None if np.isnan(found) else float(found)
