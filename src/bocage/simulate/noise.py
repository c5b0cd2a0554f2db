"""Noise as a function of location: a window can be computed alone, and is consistent with its neighbours."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def _scramble(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Apply the SplitMix64 finaliser of Steele, Lea & Flood (doi:10.1145/2660193.2660195)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def hashed(*keys: Any) -> NDArray[np.uint64]:
    """Return a 64-bit hash of integers. Arrays are broadcast."""
    with np.errstate(over="ignore"):
        state = np.asarray(np.uint64(0x9E3779B97F4A7C15))
        for key in keys:
            state = _scramble(state + np.asarray(key).astype(np.int64).view(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
        return np.asarray(state)


def uniform(*keys: Any) -> Floats:
    """Return a uniform number in [0, 1) for each combination of keys.

    >>> bool(uniform(1, 2) == uniform(1, 2)), bool(uniform(1, 2) == uniform(2, 1))
    (True, False)
    """
    return (hashed(*keys) >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def normal(*keys: Any) -> Floats:
    """Return a standard normal deviate for each combination of keys (Box & Muller 1958, doi:10.1214/aoms/1177706645)."""
    radius = np.sqrt(-2 * np.log(np.maximum(uniform(*keys, 1), 1e-300)))
    return np.asarray(radius * np.cos(2 * np.pi * uniform(*keys, 2)))


def by_cell(
    i: Floats, j: Floats, function: Callable[[Floats, Floats], NDArray[Any]]
) -> Callable[[int, int], NDArray[Any]]:
    """Return ``function(i + a, j + b)`` as a function of `a` and `b` (−1, 0 or 1), for points in the integer cells `i`, `j`.

    Where the points share cells, the function is computed once for each cell.
    """
    points = np.broadcast(i, j).size
    if not points:
        return lambda a, b: function(i + a, j + b)
    low_i, low_j = i.min() - 1, j.min() - 1
    rows, columns = int(i.max() - low_i) + 2, int(j.max() - low_j) + 2
    if rows * columns > points:
        return lambda a, b: function(i + a, j + b)
    table = function((low_i + np.arange(rows))[:, None], (low_j + np.arange(columns))[None, :]).ravel()
    cell = ((i - low_i) * columns + (j - low_j)).astype(np.intp)
    return lambda a, b: table.take(cell + (a * columns + b))


def smooth(x: Floats, y: Floats, scale: float, seed: int) -> Floats:
    """Return value noise: 0 to 1, mean 0.5, with features about `scale` metres wide."""
    u, v = x / scale, y / scale
    i, j = np.floor(u), np.floor(v)
    fu, fv = u - i, v - j
    su, sv = fu * fu * (3 - 2 * fu), fv * fv * (3 - 2 * fv)
    corner = by_cell(i, j, lambda row, column: uniform(seed, row, column))
    top = corner(0, 0) * (1 - su) + corner(1, 0) * su
    bottom = corner(0, 1) * (1 - su) + corner(1, 1) * su
    return np.asarray(top * (1 - sv) + bottom * sv)


def fractal(x: Floats, y: Floats, scale: float, seed: int, octaves: int = 4) -> Floats:
    """Return fractal noise, 0 to 1, mean 0.5: a sum of value noises, each with half the scale and amplitude of the previous."""
    total, weight = np.zeros(np.broadcast_shapes(x.shape, y.shape)), 0.0
    for octave in range(octaves):
        total += smooth(x, y, scale / 2**octave, seed + 101 * octave) / 2**octave
        weight += 1 / 2**octave
    return total / weight
