"""Sources → one stack of features on one grid: that of the source with the smallest pixels.

A source of one date has its bands and indices as features. A source of several dates has the quartiles of each band and index
over its valid dates: their number depends neither on the dates nor on clouds, and the first and third quartile show how much
a parcel changes in a season, which the median does not. Pixels of a coarser source are repeated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SceneError
from bocage.grid import Grid, Ratio, Window
from bocage.scene import Cube
from bocage.shelf import did_you_mean

QUARTILES = (0.25, 0.5, 0.75)
"""Quantiles over the dates of a series."""


@dataclass(frozen=True)
class Stack:
    """Features of the pixels of several sources on one grid."""

    cubes: tuple[Cube, ...]
    grid: Grid
    """The grid of the source with the smallest pixels."""
    ratio: Ratio

    @classmethod
    def of(cls, cubes: Mapping[str, Cube], sources: tuple[str, ...], bands: tuple[str, ...]) -> "Stack":
        """Return the stack of some sources, limited to some bands.

        Parameters
        ----------
        sources
            Names of sources; empty: the sources with the smallest pixels.
        bands
            Names of bands and indices; empty: all. A source needs one of them at least.

        Raises
        ------
        SceneError
            No source has one of these names, a band is missing, or the sources are tables.
        """
        if any(cube.source.ids is not None for cube in cubes.values()):
            raise SceneError("[segment]: the sources are tables of samples, which have no objects. Remove the section.")
        for name in sources:
            if name not in cubes:
                known = f"{did_you_mean(name, cubes)} The sources are: {', '.join(cubes)}."
                raise SceneError(f"[segment] sources: no source is called '{name}'.{known}")
        finest = min((cube.ratio for cube in cubes.values()), key=_size)
        names = tuple(dict.fromkeys(sources)) or tuple(name for name, cube in cubes.items() if cube.ratio == finest)
        chosen = [cubes[name] for name in names]
        known_bands = {band for cube in chosen for band in cube.bands}
        for band in bands:
            if band not in known_bands:
                known = f"{did_you_mean(band, known_bands)} They have {', '.join(sorted(known_bands))}."
                raise SceneError(f"[segment] bands: none of the sources {', '.join(names)} has '{band}'.{known}")
        if bands:
            kept = {cube.name: tuple(band for band in cube.bands if band in bands) for cube in chosen}
            if empty := [name for name, own in kept.items() if not own]:
                raise SceneError(
                    f"[segment] bands: the source '{empty[0]}' has none of {', '.join(bands)}. Add one of its bands, "
                    "or remove it from 'sources'."
                )
            chosen = [cube.only(kept[cube.name]) for cube in chosen]
        first = min(chosen, key=lambda cube: _size(cube.ratio))
        return cls(tuple(chosen), first.grid, first.ratio)

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the features (F, y, x) of a window inside the grid, and where all sources are valid (y, x)."""
        parts, valid = [], np.ones((window.height, window.width), bool)
        for cube in self.cubes:
            values, there = self._read(cube, window)
            parts.append(values)
            valid &= there
        stack = np.concatenate(parts)
        valid &= np.isfinite(stack).all(0)
        return stack, valid

    def _read(self, cube: Cube, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        if cube.ratio == self.ratio:
            return _reduced(cube, window)
        share = Fraction(self.ratio.coarser, self.ratio.finer) / Fraction(cube.ratio.coarser, cube.ratio.finer)
        rows, columns = (
            np.array([int((2 * i + 1) * share / 2) for i in range(part.start, part.stop)]) for part in window.slices
        )
        own = Window(int(rows[0]), int(columns[0]), int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1)
        values, valid = _reduced(cube, own)
        at = np.ix_(rows - rows[0], columns - columns[0])
        return values[:, at[0], at[1]], valid[at]


def _size(ratio: Ratio) -> Fraction:
    """Return the side of a pixel in pixels of the map."""
    return Fraction(ratio.coarser, ratio.finer)


def _reduced(cube: Cube, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return a window of a cube without its dates: features (F, y, x), and where any date is valid (y, x)."""
    block = cube.read(window)
    if len(block.values) == 1:
        return block.values[0], block.valid[0]
    known = block.valid & np.isfinite(block.values).all(1)
    count = known.sum(0)
    ordered = np.sort(np.where(known[:, None], block.values, np.inf), axis=0)
    parts = []
    for quantile in QUARTILES:
        place = quantile * np.maximum(count - 1, 0)
        low = np.floor(place).astype(np.int64)
        high = np.minimum(low + 1, np.maximum(count - 1, 0))
        below, above = (np.take_along_axis(ordered, at[None, None], 0)[0] for at in (low, high))
        with np.errstate(invalid="ignore"):  # a pixel without a valid date is infinite here, and left out below
            parts.append((below + (above - below) * (place - low)).astype(np.float32))
    found = np.concatenate(parts)
    return np.where(count > 0, found, np.float32(0)), count > 0
