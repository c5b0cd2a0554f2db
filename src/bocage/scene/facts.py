"""What a source holds on the map, from a sample of its pixels: share of valid pixels, constant bands, saturated values."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.scene.cube import Cube
from bocage.sources import dates_of

SIDE, SPOTS = 32, 5
"""Side of a sampled window in pixels, and number of windows along each axis of the map."""
DATES = 6
"""Maximum number of dates of a series that are read."""
SATURATED = 0.01
"""Share of pixels with the largest value from which a band may be saturated."""
PILED = 5
"""A band is saturated if its largest value is at least this many times as frequent as the next one."""


@dataclass(frozen=True)
class BandFacts:
    """Values of a band, over the valid pixels of all dates that were read."""

    name: str
    constant: float | None
    """The only value, in physical units; None if there are several, or none."""
    largest: float
    """Largest value, in physical units."""
    saturated: float
    """Share of pixels with the largest value, 0 to 1, where it is so frequent that the band is saturated; 0 elsewhere."""


@dataclass(frozen=True)
class Facts:
    """Validity and values of a source on the map."""

    valid: float
    """Share of valid pixels, 0 to 1: mean over the dates. Outside the files, under masks and at nodata, no pixel is valid."""
    ever: float
    """Share of pixels that are valid on some of the dates, 0 to 1."""
    dates: int
    """Number of dates that were read."""
    bands: tuple[BandFacts, ...]


def facts_of(cube: Cube) -> Facts:
    """Read windows spread over the map from at most ``DATES`` dates, and return the facts.

    Raises
    ------
    SourceError
        A file cannot be read.
    """
    source = dates_of(cube.source, DATES)
    found, read, ever = [], 0, 0
    for window in cube.grid.spots(SIDE, SPOTS):
        values, valid = source.read(cube.grid, window, cube.preparation.resampling)
        found.append(np.moveaxis(values, 1, 0)[:, valid])
        read, ever = read + valid.size, ever + int(valid.any(0).sum())
    pixels = np.concatenate(found, axis=1)
    bands = tuple(_band(name, layer) for name, layer in zip(source.bands, pixels, strict=True))
    return Facts(pixels.shape[1] / read, ever * len(valid) / read, len(source.times), bands)


def _band(name: str, pixels: NDArray[Any]) -> BandFacts:
    if not pixels.size:
        return BandFacts(name, None, np.nan, 0.0)
    levels, counts = np.unique(pixels, return_counts=True)
    if len(levels) == 1:
        return BandFacts(name, float(levels[0]), float(levels[0]), 0.0)
    share = counts[-1] / pixels.size
    piled = len(levels) > 2 and share >= SATURATED and counts[-1] >= PILED * counts[-2]
    return BandFacts(name, None, float(levels[-1]), float(share) if piled else 0.0)
