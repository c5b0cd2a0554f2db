"""Haralick's texture measures of each object, as :mod:`bocage.models.texture` defines them for windows.

The co-occurrence matrix of an object counts its pairs of neighbouring valid pixels in the four directions, in both orders. Grey
levels have equal widths between the 2nd and the 98th percentile of a band. An object without such a pair, of one pixel for
example, has the measures of a single grey level.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.grid import Window
from bocage.machine import compiled
from bocage.models.texture import MASKED, MEASURES, TAILS
from bocage.objects.stored import Stored
from bocage.scene import Cube
from bocage.sources import spread

HARALICK = tuple(name.replace(" ", "_") for name in MEASURES[:8])
"""The measures, in their order."""
LOOKED_AT, SIDE = 8, 64
"""Windows along each axis from which the limits of the grey levels are computed, and their side in pixels."""


@dataclass(frozen=True)
class Greys:
    """Grey levels of the bands of a source."""

    low: NDArray[np.float64]
    """Lower limit of each band (C,)."""
    high: NDArray[np.float64]
    """Upper limit of each band (C,)."""
    levels: int

    @classmethod
    def of(cls, cube: Cube, levels: int) -> "Greys":
        """Return grey levels between percentiles of the valid pixels of windows that are spread over a source of one date."""
        rows, columns = (spread(max(n - SIDE, 0) + 1, LOOKED_AT) for n in cube.grid.shape)
        found = [np.zeros((len(cube.bands), 0))]
        for y in rows:
            for x in columns:
                block = cube.read(Window(y, x, SIDE, SIDE).clip(cube.grid.shape))
                found.append(block.values[0][:, block.valid[0]].astype(np.float64))
        pixels = np.concatenate(found, axis=1)
        low, high = np.percentile(pixels, TAILS, axis=1) if pixels.shape[1] else np.zeros((2, len(cube.bands)))
        return cls(low, high, levels)

    @property
    def width(self) -> NDArray[np.float64]:
        """Width of a level of each band (C,)."""
        return np.where(self.high > self.low, (self.high - self.low) / self.levels, 1)

    def of_values(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the grey levels of values (C, ...), whole numbers from 0."""
        low, width = (limit.reshape(-1, *[1] * (values.ndim - 1)) for limit in (self.low, self.width))
        return np.clip(np.floor((values - low) / width), 0, self.levels - 1)


@dataclass(frozen=True)
class Textures:
    """Co-occurrence matrices of each object for the bands of one source, rows by object number."""

    greys: Greys
    pairs: NDArray[Any]
    """(N + 1, C, levels, levels)."""

    @classmethod
    def new(cls, stored: Stored, name: str, greys: Greys) -> "Textures":
        """Return matrices without pairs, in a file that starts with `name`."""
        shape = (len(greys.low), greys.levels, greys.levels)
        return cls(greys, stored.array(f"{name}-pairs", shape, "uint32"))

    def add(self, padded: NDArray[Any], values: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Add a window, given with a margin of one pixel: numbers of objects (y, x), values (C, y, x) and valid (y, x)."""
        known = valid & np.isfinite(values).all(0)
        grey = np.where(known, self.greys.of_values(np.where(known, values, 0)), MASKED).astype(np.uint8)
        core = padded[1:-1, 1:-1]
        numbers, which = np.unique(core, return_inverse=True)
        pairs = np.asarray(self.pairs[numbers])
        _count(padded, which.reshape(core.shape), grey, pairs)
        pairs[numbers == 0] = 0
        self.pairs[numbers] = pairs

    def features(self, rows: slice, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the measures (n, C, 8) of a range of objects, given the means (n, C) of their pixels; NaN where those are."""
        pairs = np.asarray(self.pairs[rows]).astype(np.float64)
        alone = pairs.sum((2, 3)) == 0
        own = self.greys.of_values(np.where(np.isnan(mean), 0, mean).T).T.astype(np.int64)
        at = np.nonzero(alone)
        pairs[(*at, own[at], own[at])] = 1
        return np.where(np.isnan(mean)[..., None], np.nan, measures(pairs))


@compiled
def _count(padded: Any, which: Any, grey: Any, pairs: Any) -> None:
    """Count the pairs whose upper, or left, pixel is in a window without its margin."""
    for c in range(grey.shape[0]):
        for i in range(which.shape[0]):
            for j in range(which.shape[1]):
                y, x = i + 1, j + 1
                a, number = grey[c, y, x], padded[y, x]
                if a == 255 or number == 0:
                    continue
                own = pairs[which[i, j], c]
                for k in range(4):  # right, below left, below, below right
                    v, u = y + min(k, 1), x + (1, -1, 0, 1)[k]
                    b = grey[c, v, u]
                    if b != 255 and padded[v, u] == number:
                        own[a, b] += 1
                        own[b, a] += 1


def measures(pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Haralick's measures (..., 8) of symmetric co-occurrence matrices (..., levels, levels), each with a pair."""
    p = pairs / pairs.sum((-2, -1), keepdims=True)
    i, j = np.meshgrid(*[np.arange(pairs.shape[-1])] * 2, indexing="ij")

    def expected(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray((p * values).sum((-2, -1)))

    mean = expected(i)
    centred_i, centred_j = i - mean[..., None, None], j - mean[..., None, None]
    variance, covariance = expected(centred_i**2), expected(centred_i * centred_j)
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum((-2, -1))
    correlation = np.divide(covariance, variance, out=np.ones_like(variance), where=variance > 1e-12)
    found: Sequence[NDArray[np.float64]] = (
        mean, variance, expected(1 / (1 + (i - j) ** 2)), expected((i - j) ** 2), expected(abs(i - j)), entropy,
        (p**2).sum((-2, -1)), correlation,
    )  # fmt: skip
    return np.stack(found, -1)
