"""The landscape: parcels of varied shape, their land cover, hedges, tracks and a river, as a function of location.

The landscape is divided into blocks: cells of a jittered lattice, whose borders are distorted by noise. Tracks run along these
borders. Each block has a land use and a direction. It is divided into strips, and the strips into parcels, of uneven width and
length.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bocage.legend import LandClass, Legend
from bocage.simulate.noise import Floats, by_cell, fractal, hashed, normal, smooth, uniform

LEGEND = Legend(
    (
        LandClass(1, "sugar cane", "#e6c229", "crops"),
        LandClass(2, "early maize", "#f28f3b", "crops"),
        LandClass(3, "late maize", "#c8553d", "crops"),
        LandClass(4, "market gardening", "#d16ba5", "crops"),
        LandClass(5, "trellised crops", "#7b4b94", "crops"),
        LandClass(6, "meadow", "#b5e48c", "grass and shrubs"),
        LandClass(7, "orchard", "#7fb069", "trees"),
        LandClass(8, "forest plantation", "#3a7d44", "trees"),
        LandClass(9, "forest", "#1e4d2b", "trees"),
        LandClass(10, "shrubland", "#a3a847", "grass and shrubs"),
        LandClass(11, "built-up", "#d1495b", "artificial"),
        LandClass(12, "bare soil and tracks", "#c9ada7", "bare"),
        LandClass(13, "water", "#2e86ab", "water"),
    )
)
"""Orchard, plantation and forest differ only in texture, early and late maize only in crop calendar, market gardening
and trellised crops only in backscatter."""

BLOCK = 260.0
"""Distance between the centres of neighbouring blocks, in metres."""

USES = {  # land use of a block: proportion of the blocks, then class code → proportion of its parcels
    "farm": (0.55, {1: 0.24, 2: 0.13, 3: 0.13, 4: 0.10, 5: 0.10, 6: 0.13, 7: 0.11, 8: 0.06}),
    "wood": (0.20, {9: 0.52, 8: 0.28, 7: 0.20}),
    "wild": (0.12, {10: 0.50, 12: 0.20, 6: 0.30}),
    "village": (0.08, {11: 0.75, 6: 0.15, 12: 0.10}),
    "water": (0.05, {13: 1.0}),
}
ARABLE = (1, 2, 3, 4, 5)
"""Class codes of the crops that rotate from year to year."""


@dataclass(frozen=True)
class World:
    """Seed, year and region of a landscape."""

    seed: int = 0
    year: int = 2022
    region: int = 0
    """Another region has other parcels and other proportions of the same classes."""
    delay: float = 0.0
    """Days by which the season is later east of `border`."""
    border: float = 0.0
    """Easting of the border of the two seasons, in metres."""
    warmth: float | None = None
    """Temperature of the year minus the normal temperature, °C; crops follow growing degree days. None: days of the year."""
    rains: int | None = None
    """Days by which the rainy season begins later than normal; maize is rain-fed. None: no rain."""
    wetness: float = 1.0
    """Rain of wet days divided by the normal rain."""

    @property
    def key(self) -> int:
        """Seed of all properties that do not change with the year."""
        return self.seed * 1000 + self.region


@dataclass(frozen=True)
class Ground:
    """Properties of the ground at each point. All arrays have the same shape."""

    code: NDArray[np.uint8]
    """Class code."""
    parcel: NDArray[np.uint64]
    """Parcel id."""
    u: Floats
    """Coordinate along the direction of the parcel, which its tree rows follow, in metres."""
    v: Floats
    """Coordinate across the direction of the parcel, in metres."""
    x: Floats
    """Easting in metres."""
    y: Floats
    """Northing in metres."""

    def parcel_uniform(self, key: int, *keys: int) -> Floats:
        """Return ``uniform(key, parcel, *keys)`` at each point."""
        parcels, number = self._parcels
        return uniform(key, parcels, *keys)[number]

    def parcel_normal(self, key: int, *keys: int) -> Floats:
        """Return ``normal(key, parcel, *keys)`` at each point."""
        parcels, number = self._parcels
        return normal(key, parcels, *keys)[number]

    @cached_property
    def _parcels(self) -> tuple[NDArray[np.uint64], NDArray[np.intp]]:
        # What is a function of the parcel is computed once for each parcel, not at each of its points.
        parcels, number = np.unique(self.parcel, return_inverse=True)
        return parcels, number.reshape(self.parcel.shape)


def ground_at(world: World, x: Floats, y: Floats) -> Ground:
    """Return the ground at the points `x`, `y` (metres, any shape)."""
    key = world.key
    bx = x + 36 * (smooth(x, y, 170, key + 1) - 0.5)
    by = y + 36 * (smooth(x, y, 170, key + 2) - 0.5)
    block, block_x, block_y, to_border = _block(key, bx, by)
    angle = uniform(key, block, 3) * np.pi
    dx, dy = bx - block_x, by - block_y
    u, v = dx * np.cos(angle) + dy * np.sin(angle), -dx * np.sin(angle) + dy * np.cos(angle)
    parcel, to_edge = _parcel(key, block, u, v)
    use = _use(world, block, block_x, block_y)
    code = _cover(world, use, parcel)
    fields = _Fields(use, parcel, to_border, to_edge)
    code = _linear_features(world, x, y, code, fields)
    return Ground(code, parcel, u, v, x, y)


def _block(key: int, x: Floats, y: Floats) -> tuple[NDArray[np.uint64], Floats, Floats, Floats]:
    """Return the nearest block: its id, its centre x and y, and the distance to its border with the second nearest block."""
    i, j = np.floor(x / BLOCK), np.floor(y / BLOCK)
    first, second = np.full(x.shape, np.inf), np.full(x.shape, np.inf)
    near_x, near_y, next_x, next_y = (np.zeros(x.shape) for _ in range(4))
    ident = np.zeros(x.shape, np.uint64)
    centre_x = by_cell(i, j, lambda row, column: (row + 0.1 + 0.8 * uniform(key, row, column, 11)) * BLOCK)
    centre_y = by_cell(i, j, lambda row, column: (column + 0.1 + 0.8 * uniform(key, row, column, 12)) * BLOCK)
    name = by_cell(i, j, lambda row, column: hashed(key, row, column))
    for a in (-1, 0, 1):
        for b in (-1, 0, 1):
            cx, cy = centre_x(a, b), centre_y(a, b)
            d = (x - cx) ** 2 + (y - cy) ** 2
            closer, between = d < first, (d >= first) & (d < second)
            next_x, next_y = (
                np.where(closer, near_x, np.where(between, cx, next_x)),
                np.where(closer, near_y, np.where(between, cy, next_y)),
            )
            second = np.where(closer, first, np.where(between, d, second))
            near_x, near_y, first = np.where(closer, cx, near_x), np.where(closer, cy, near_y), np.minimum(first, d)
            ident = np.where(closer, name(a, b), ident)
    apart = np.hypot(next_x - near_x, next_y - near_y)
    return ident, near_x, near_y, (second - first) / (2 * np.maximum(apart, 1))


def _parcel(key: int, block: NDArray[np.uint64], u: Floats, v: Floats) -> tuple[NDArray[np.uint64], Floats]:
    width = 45 + 60 * uniform(key, block, 21)
    length = 80 + 150 * uniform(key, block, 22)
    strip, across = _cut(key, u / width, block, 23)
    piece, along = _cut(key, v / length + uniform(key, block, strip, 24), hashed(block, strip), 25)
    return hashed(key, block, strip, piece), np.minimum(across * width, along * length)


def _cut(key: int, t: Floats, salt: NDArray[np.uint64], number: int) -> tuple[Floats, Floats]:
    """Cut a line at irregular positions, about one per unit. Return the piece number and the distance to the nearest cut."""
    k = np.floor(t)
    low, high = k + 0.5 * uniform(key, salt, k, number), k + 1 + 0.5 * uniform(key, salt, k + 1, number)
    below = t < low
    before = k - 1 + 0.5 * uniform(key, salt, k - 1, number)
    piece = np.where(below, k - 1, k)
    distance = np.where(below, np.minimum(low - t, t - before), np.minimum(t - low, high - t))
    return piece, distance


def _use(world: World, block: NDArray[np.uint64], x: Floats, y: Floats) -> NDArray[np.int8]:
    """Return the land use of each block (index in ``USES``). Neighbouring blocks tend to have the same use."""
    shares = np.array([share for share, _ in USES.values()])
    if world.region:
        shares = shares * np.exp(0.7 * (np.array([uniform(world.region, 31, i) for i in range(len(shares))]) - 0.5))
    tendency = (fractal(x, y, 1500, world.key + 32, 2) - 0.5) * 0.5
    draw = np.abs(uniform(world.key, block, 33) + tendency)
    draw = np.where(draw > 1, 2 - draw, draw)
    return np.searchsorted(np.cumsum(shares / shares.sum()), draw, side="right").clip(0, len(USES) - 1).astype(np.int8)


def _cover(world: World, use: NDArray[np.int8], parcel: NDArray[np.uint64]) -> NDArray[np.uint8]:
    draw = uniform(world.key, parcel, 41)
    code = np.zeros(use.shape, np.uint8)
    for i, (_, classes) in enumerate(USES.values()):
        codes, shares = np.array(list(classes)), _regional(world, classes)
        here = use == i
        code[here] = codes[np.searchsorted(np.cumsum(shares), draw[here], side="right").clip(0, len(codes) - 1)]
    return _rotated(world, code, parcel)


def _regional(world: World, classes: dict[int, float]) -> Floats:
    shares = np.array(list(classes.values()))
    if world.region:
        shares = shares * np.exp(1.2 * (np.array([uniform(world.region, 42, c) for c in classes]) - 0.5))
    return np.asarray(shares / shares.sum())


def _rotated(world: World, code: NDArray[np.uint8], parcel: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return the codes after crop rotation: arable parcels draw a crop each year; cane is kept with a probability of 0.75."""
    arable = np.isin(code, ARABLE)
    stays = (code == 1) & (uniform(world.key, parcel, world.year, 43) < 0.75)
    shares = np.cumsum([USES["farm"][1][c] for c in ARABLE])
    draw = uniform(world.key, parcel, world.year, 44) * shares[-1]
    drawn = np.array(ARABLE, np.uint8)[np.searchsorted(shares, draw, side="right").clip(0, len(ARABLE) - 1)]
    return np.where(arable & ~stays, drawn, code)


@dataclass(frozen=True)
class _Fields:
    """Land use and parcel at every point, and the distances to the borders of block and parcel in metres."""

    use: NDArray[np.int8]
    parcel: NDArray[np.uint64]
    to_border: Floats
    to_edge: Floats


def _linear_features(world: World, x: Floats, y: Floats, code: NDArray[np.uint8], fields: _Fields) -> NDArray[np.uint8]:
    """Hedges along some parcels, tracks between blocks, a winding river."""
    use = fields.use
    farm = use == list(USES).index("farm")
    wide = 2 + 2.5 * smooth(x, y, 9, world.key + 51)
    hedge = farm & (fields.to_edge < wide) & (uniform(world.key, fields.parcel, 52) < 0.4)
    code = np.where(hedge, np.uint8(9), code)
    track = (fields.to_border < 2.2) & (use != list(USES).index("water"))
    code = np.where(track, np.uint8(12), code)
    river = np.abs(fractal(x, y, 1400, world.key + 53, 3) - 0.5) < 0.0045
    return np.where(river, np.uint8(13), code).astype(np.uint8)
