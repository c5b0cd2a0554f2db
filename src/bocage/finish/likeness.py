"""Spatial correlation of the errors of a map: the area over which errors are alike, from reference pixels and their places.

A zone differs from the whole map in its rates of confusion. How much depends on the number of independent places in the zone:
errors of pixels of the same field are alike. Of polygons, the design effect gives the size of such a place (Kish 1965, Survey
Sampling, chapter 5). Of single pixels, the correlogram of their residuals does (Cressie 1993, doi:10.1002/9781119115151, chapter
2: an exponential model).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST = 2000
"""Maximum number of pixels whose pairs are compared."""
RANGES = np.geomspace(0.5, 500, 31)
"""Candidate ranges of the exponential correlogram, in pixels."""
REACH = 4.0
"""Pairs are compared up to this number of ranges, where the correlation has fallen to 2 %."""
PROVEN = 8.0
"""Reduction of the sum of squares from which on a correlation is not chance (its variance is about 1 for each pair)."""


@dataclass(frozen=True)
class Likeness:
    """How the shares of the reference classes within a map class vary over the map."""

    pixels: float
    """Number of pixels over which errors are alike: the sum of the correlation over all pixels around one, at least 1."""
    total: float
    """Mapped area, in m²."""
    pixel: float
    """Area of a pixel, in m²."""

    def error(self, mapped: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the standard deviation (K) of the areas of a zone around their estimates with the shares of the whole map.

        The shares are those of the whole map, so the deviation is 0 for the whole map.

        Parameters
        ----------
        mapped : (K,)
            Mapped areas in the zone, in m².
        share : (K, K)
            Share of each reference class (row) within each map class (column).
        """
        size = float(mapped.sum())
        alike = min(self.pixels * self.pixel, size)
        return np.sqrt((share * (1 - share)) @ mapped * alike * max(0.0, 1 - size / self.total))


def residuals(mapped: NDArray[Any], reference: NDArray[Any], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the residuals of reference pixels (N, K): the indicator of the reference class, less its share in the map class."""
    return np.asarray(np.eye(len(share))[reference] - share.T[mapped])


def alike(
    mapped: NDArray[Any], reference: NDArray[Any], share: NDArray[np.float64], unit: NDArray[Any], place: NDArray[Any]
) -> float:
    """Return the number of pixels over which errors are alike: in units of several pixels, or around single pixels.

    Parameters
    ----------
    mapped, reference : (N,)
        Map class and reference class of the reference pixels.
    share : (K, K)
        Share of each reference class (row) within each map class (column).
    place : (N, 2)
        Row and column of each pixel on the grid of the map.
    """
    residual = residuals(mapped, reference, share)
    single = len(np.unique(unit)) == len(unit)
    return alike_pixels(residual, place[:, 0], place[:, 1]) if single else alike_in_units(residual, unit)


def alike_in_units(residual: NDArray[np.float64], unit: NDArray[Any]) -> float:
    """Return the number of pixels over which errors are alike in units (N,) such as polygons, at least 1.

    Units are independent of each other. Errors that are alike in a whole unit give the number of its pixels.
    """
    square = float(np.square(residual).sum())
    which = np.unique(unit, return_inverse=True)[1].ravel()
    sums = np.stack([np.bincount(which, column) for column in residual.T])
    return max(1.0, float(np.square(sums).sum()) / square) if square else 1.0


def alike_pixels(residual: NDArray[np.float64], row: NDArray[Any], column: NDArray[Any]) -> float:
    """Return the number of pixels over which errors are alike, at least 1.

    An exponential correlogram with a nugget effect is fitted to the products of all pairs of pixels, by least squares. The range
    is the one with the smallest sum of squares. Without a correlation beyond chance, the result is 1: with few reference pixels
    that are far apart, the correlation within fields remains unknown.

    Parameters
    ----------
    residual : (N, K)
        From :func:`residuals`.
    row, column : (N,)
        Place of each pixel on the grid of the map.
    """
    if len(residual) > MOST:
        kept = np.random.default_rng(0).choice(len(residual), MOST, replace=False)
        residual, row, column = residual[kept], row[kept], column[kept]
    variance = float(np.square(residual).sum(1).mean()) if len(residual) else 0.0
    if variance == 0:
        return 1.0
    product, distance = _pairs(residual, np.stack([row, column], 1).astype(float))
    extent = float(max(np.ptp(row), np.ptp(column)))
    fits = [
        _fit(product / variance, distance, scale) for scale in RANGES if REACH * scale <= max(extent, REACH * RANGES[0])
    ]
    gain, pixels = max(fits)
    return 1 + pixels if gain > PROVEN else 1.0


def _pairs(
    residual: NDArray[np.float64], place: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the products of the residuals of all pairs, and their distances in pixels, in the order of the distances."""
    from scipy.spatial.distance import pdist

    first, second = np.triu_indices(len(residual), 1)
    distance, product = pdist(place), np.einsum("nk,nk->n", residual[first], residual[second])
    order = np.argsort(distance)
    return product[order], distance[order]


def _fit(product: NDArray[np.float64], distance: NDArray[np.float64], scale: float) -> tuple[float, float]:
    """Return the reduction of the sum of squares by a correlogram with the range `scale`, and its sum over all other pixels."""
    n = int(np.searchsorted(distance, REACH * scale))
    model = np.exp(-distance[:n] / scale)
    square = float(model @ model)
    sill = min(1.0, max(0.0, float(model @ product[:n]) / square)) if square else 0.0
    return sill * (2 * float(model @ product[:n]) - sill * square), sill * 2 * math.pi * scale**2
