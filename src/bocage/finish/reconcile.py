"""Reconciliation of a map with the statistics of districts: its probabilities get the shares that the districts have.

The weights of the classes of a district (:mod:`bocage.finish.raking`) are computed from pixels that are drawn regularly from it,
and then applied to all of its pixels, tile by tile.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from bocage.errors import FinishError
from bocage.finish.districts import Districts
from bocage.finish.layers import written_layers
from bocage.finish.raking import TINY, Wanted, rake, reweighted, wanted_of
from bocage.finish.within import Laying
from bocage.finish.zones import every
from bocage.grid import Window
from bocage.layout import MapLayout
from bocage.mapping import AreaCount, Areas, Delivered, MapBand, pixel_areas
from bocage.progress import Progress
from bocage.sources.raster import read

TILE = 256
"""Side of the tiles, in pixels: memory grows with its square and the number of classes."""
MOST, ALL = 20_000, 2_000_000
"""Maximum number of pixels drawn from a district, and from all."""
GOLDEN = 0.618
"""Shift of the drawn pixels from row to row, as a share of their distance: they do not follow columns of fields."""
REACHED = 0.005
"""Difference of a share from the wanted one below which it is reached."""
EQUAL = 1e-9
"""Difference below which probabilities are equal."""


@dataclass
class Tally:
    """Sums over the pixels of each of N districts."""

    count: tuple[int, int]
    """Number of districts, and of classes."""
    area: NDArray[np.float64] = field(init=False)
    """Mapped area in m² (N,)."""
    probability: NDArray[np.float64] = field(init=False)
    """Area times probability of each class (N, K)."""
    mapped: NDArray[np.float64] = field(init=False)
    """Area of each class in m² (N, K)."""

    def __post_init__(self) -> None:
        self.area, self.probability, self.mapped = np.zeros(self.count[0]), np.zeros(self.count), np.zeros(self.count)

    def add(self, pixels: "Pixels", position: NDArray[np.int64], probabilities: NDArray[np.float64]) -> None:
        """Add pixels with these classes (P,) and probabilities (P, K); those outside of all districts do not count."""
        inside = pixels.district >= 0
        which, local = np.unique(pixels.district[inside], return_inverse=True)
        area, position, probabilities = pixels.area[inside], position[inside], probabilities[inside]
        self.area[which] += np.bincount(local, area, len(which))
        for k in range(self.count[1]):
            self.probability[which, k] += np.bincount(local, area * probabilities[:, k], len(which))
            self.mapped[which, k] += np.bincount(local, area * (position == k), len(which))

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean probability of each class (N, K), sum 1; 0 without pixels."""
        return np.asarray(self.probability / np.maximum(self.probability.sum(1, keepdims=True), TINY))

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of the mapped area of each class (N, K); 0 without pixels."""
        return np.asarray(self.mapped / np.maximum(self.area[:, None], TINY))


@dataclass(frozen=True)
class Pixels:
    """The pixels of a window with a class, row by row (P,)."""

    index: NDArray[np.int64]
    """Number of the pixel in the window."""
    district: NDArray[np.int64]
    """Its district; −1 outside of all."""
    position: NDArray[np.int64]
    """Position of its class in the legend."""
    stored: NDArray[Any]
    """Stored probabilities (P, K)."""
    area: NDArray[np.float64]
    """Area in m²."""

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Probabilities (P, K), sum 1; stored ones are rounded."""
        return normal(self.stored)


def normal(stored: NDArray[Any]) -> NDArray[np.float64]:
    """Return stored probabilities (P, K) divided by their sum, which rounding makes different from 1."""
    return np.asarray(stored / np.maximum(stored.sum(1, dtype=np.float64, keepdims=True), 1.0))


@dataclass(frozen=True)
class Fit:
    """Weights of the classes in each of N districts."""

    before: Tally
    asked: NDArray[np.float64]
    """Share of each class in the statistics; NaN without one (N, K)."""
    wanted: NDArray[np.float64]
    """Wanted mean probability of each class (N, K)."""
    weights: NDArray[np.float64]
    """(N, K); 1 in districts that keep their classes."""

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Whether each district has a statistic, and pixels (N,)."""
        return ~np.isnan(self.asked).all(1) & (self.before.area > 0)

    def unreached(self, after: Tally) -> NDArray[np.bool_]:
        """Return whether the wanted share of a class with a statistic was not reached (N, K)."""
        far = np.abs(after.mean - self.wanted) > REACHED
        return far & ~np.isnan(self.asked) & self.changed[:, None]


@dataclass(frozen=True)
class Reconciliation:
    """A map, and districts with statistics."""

    land: Delivered
    districts: Districts
    trust: float
    """Weight of the statistics, above 0 to 1."""

    @cached_property
    def _laying(self) -> Laying:
        return Laying(self.districts.zones.shapes, self.land.grid)

    @cached_property
    def _areas(self) -> NDArray[np.float64]:
        """Area of a pixel in each row of the map, in m²."""
        return np.asarray(pixel_areas(self.land.grid))

    @cached_property
    def _steps(self) -> NDArray[np.int64]:
        """One of how many pixels is drawn from each district (N,)."""
        grid, shapes = self.land.grid, self.districts.zones.shapes
        pixels = shapely.area(shapely.intersection(shapes, shapely.box(*grid.bounds))) / grid.resolution**2
        return np.asarray(np.maximum(np.ceil(pixels / min(MOST, max(1, ALL // len(shapes)))), 1), np.int64)

    @cached_property
    def place(self) -> NDArray[np.int64]:
        """Position in the legend of each code (65536,); −1 of codes that are no class."""
        return self.land.legend.positions()

    def pixels(self, window: Window) -> Pixels:
        """Return the pixels of a window that have a class and probabilities."""
        land, bands = self.land, range(1, len(self.land.legend.codes) + 1)
        position = self.place[land.read("classes", land.grid, window, 0)].ravel()
        stored, there = read(land.path("probabilities"), bands, land.grid, window, "nearest")
        index = np.flatnonzero((position >= 0) & there.all(0).ravel())
        district = self._laying.ids(window).astype(np.int64).ravel()[index] - 1
        area = self._areas[window.y + index // window.width]
        return Pixels(index, district, position[index], stored.reshape(len(bands), -1)[:, index].T, area)

    def fit(self, progress: Progress) -> Fit:
        """Compute the weights of all districts.

        Raises
        ------
        FinishError
            No pixel with a class is in a district, or the hectares of a district are more than it has.
        """
        before, drawn = Tally((len(self.districts), len(self.land.legend.codes))), []
        windows = list(self.land.grid.tiles(TILE))
        for done, window in enumerate(windows, start=1):
            pixels = self.pixels(window)
            before.add(pixels, pixels.position, pixels.probabilities)
            drawn.append(self._drawn(window, pixels))
            progress.step("reading districts", done, len(windows))
        self._check_inside(before)
        asked = self.districts.shares(self.land.grid)
        place, which, area, stored = (np.concatenate(part) for part in zip(*drawn, strict=True))
        order = np.lexsort((place, which))
        edges = np.searchsorted(which[order], np.arange(len(self.districts) + 1))
        wanted, weights = before.mean, np.ones(before.mean.shape)
        for d in np.flatnonzero(~np.isnan(asked).all(1) & (before.area > 0)).tolist():
            own, goal = order[edges[d] : edges[d + 1]], wanted_of(asked[d], before.mean[d], self.trust)
            wanted[d] = goal.shares
            if len(own):
                weights[d] = _weights(stored[own], goal, area[own])
            progress.step("fitting districts", d + 1, len(self.districts))
        return Fit(before, asked, wanted, weights)

    def _drawn(self, window: Window, pixels: Pixels) -> tuple[NDArray[Any], ...]:
        """Return place, district, area and stored probabilities of the drawn pixels; they do not depend on the window."""
        row, column = window.y + pixels.index // window.width, window.x + pixels.index % window.width
        step = self._steps[pixels.district]
        shift = np.rint(GOLDEN * step).astype(np.int64)
        kept = (pixels.district >= 0) & ((column + shift * row) % step == 0)
        place = row[kept] * self.land.grid.shape[1] + column[kept]
        return place, pixels.district[kept], pixels.area[kept], pixels.stored[kept]

    def _check_inside(self, before: Tally) -> None:
        if not before.area.any():
            raise FinishError(
                f"{self.districts.path}: {every(len(self.districts), 'district')} outside the map {self.land.folder}, or where "
                f"it has no data. Bounds of the map in {self.land.grid.crs_name}: {self.land.grid.bounds}; bounds of the "
                f"districts: {tuple(float(v) for v in shapely.total_bounds(self.districts.zones.shapes))}."
            )

    def write(
        self, fit: Fit, layout: MapLayout, bands: Mapping[str, tuple[MapBand, ...]], progress: Progress
    ) -> tuple[Areas, Tally]:
        """Write the layers of the reconciled map, tile by tile; return its areas, and the sums of its districts.

        Raises
        ------
        MappingError
            A file cannot be written.
        """
        areas, after = AreaCount(self.land.grid, self.land.legend), Tally(fit.before.count)
        with written_layers(layout, self.land.grid, bands, self.land.legend) as outputs:
            for window, found in self._layers(fit, bands, after, progress):
                areas.count(window, found["classes"][0])
                for layer, output in outputs.items():
                    output.put(window, found[layer])
        return areas.areas(), after

    def _layers(
        self, fit: Fit, bands: Mapping[str, tuple[MapBand, ...]], after: Tally, progress: Progress
    ) -> Iterator[tuple[Window, dict[str, NDArray[Any]]]]:
        """Yield the layers (bands, height, width) of each tile, and add it to the sums `after`."""
        windows = list(self.land.grid.tiles(TILE))
        for done, window in enumerate(windows, start=1):
            found = {name: self._stored(name, window, of) for name, of in bands.items()}
            pixels = self.pixels(window)
            own = (pixels.district >= 0) & fit.changed[pixels.district]
            probabilities, position = pixels.probabilities.copy(), pixels.position.copy()
            probabilities[own] = reweighted(probabilities[own], fit.weights[pixels.district[own]])
            position[own] = _likeliest(probabilities[own], position[own])
            after.add(pixels, position, probabilities)
            index, sure = pixels.index[own], 100 * probabilities[own].max(1, initial=0)
            found["classes"][0, index] = np.array(self.land.legend.codes)[position[own]]
            found["confidence"][0, index] = np.rint(sure).clip(0, 100)
            found["probabilities"][:, index] = np.rint(probabilities[own].T / bands["probabilities"][0].scale)
            yield window, {n: v.reshape(-1, window.height, window.width) for n, v in found.items()}
            progress.step("reconciling the map", done, len(windows))

    def _stored(self, layer: str, window: Window, bands: tuple[MapBand, ...]) -> NDArray[Any]:
        """Return a layer of the map (bands, pixels) as it is; of a map without confidence, the highest probability."""
        land, nodata = self.land, bands[0].nodata
        if layer == "confidence" and not land.path(layer).exists():
            pixels, found = self.pixels(window), np.full((1, window.height * window.width), nodata, bands[0].dtype)
            found[0, pixels.index] = np.rint(100 * pixels.probabilities.max(1, initial=0))
            return found
        values, there = read(land.path(layer), range(1, len(bands) + 1), land.grid, window, "nearest")
        return np.where(there, values, nodata).reshape(len(bands), -1).astype(bands[0].dtype)


def _weights(stored: NDArray[Any], wanted: Wanted, area: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights of a district from its drawn pixels; rounded, so that the order of sums has no effect."""
    return np.round(rake(normal(stored), wanted, area), 9)


def _likeliest(probabilities: NDArray[np.float64], position: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the class with the highest probability (P,); of equal ones the class of the map, then the order of the legend."""
    best = probabilities.max(1, initial=0)[:, None] - EQUAL
    kept = np.take_along_axis(probabilities, position[:, None], 1) >= best
    return np.where(kept[:, 0], position, (probabilities >= best).argmax(1))
