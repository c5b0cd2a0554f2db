"""Fusion of several maps of one nomenclature: by vote, by mean probability, or by the theory of evidence.

Evidence (Dempster–Shafer): the confusion matrix of a map gives the mass of belief that the map commits to its class: the share of
the test pixels of this map class that have the same reference class (precision), or of this reference class that have the same
map class (recall). The rest of the mass is ignorance: it supports no class, and no complement of a class. Xu, Krzyżak & Suen 1992
(doi:10.1109/21.155943) commit the rate of confusion to the complement of the class; the variant here, with simple support
functions and masses for each class, is that of FusionOfClassifications of the Orfeo ToolBox. Masses are combined by Dempster's
rule. They depend on the classes of the maps only, so they are combined once for each tuple of classes of a tile.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bocage.errors import FinishError
from bocage.finish.layers import written_layers
from bocage.grid import Grid, Window
from bocage.layout import MapLayout
from bocage.legend import Legend
from bocage.mapping import AreaCount, Areas, MapBand
from bocage.mapping.delivered import Delivered, check_alike
from bocage.progress import Progress
from bocage.sources.raster import read

Rule = Literal["vote", "probability", "dempster-shafer"]
Mass = Literal["precision", "recall"]
TILE = 256
"""Side of the tiles, in pixels: memory grows with its square, the number of maps and that of classes."""
MOST = 254
"""Maximum number of maps: their number at a pixel fits 8 bits."""
SURE = 0.999
"""Maximum mass: a map that made no error on its test polygons can be wrong elsewhere, and must not overrule all others."""
EQUAL = 1e-9
"""Difference below which votes or beliefs are equal."""
MEANING: Mapping[Rule, str] = {
    "vote": "share of the votes, of the maps with data at the pixel, for the class",
    "probability": "mean probability of the class over the maps with data at the pixel",
    "dempster-shafer": "belief in the class after Dempster's rule of combination",
}
"""Meaning of the confidence of the fused map."""


@dataclass(frozen=True)
class Decision:
    """What a rule decides for the pixels of a window."""

    position: NDArray[np.int64]
    """Position of the class in the legend; −1 where no map has data."""
    sure: NDArray[np.float64]
    """Confidence, 0 to 1."""
    probabilities: NDArray[np.float64] | None = None
    """Mean probability of each class (K, ...), 0 to 1."""


Decide = Callable[["Fusion", Window], Decision]


@dataclass(frozen=True)
class Fusion:
    """Maps of one nomenclature with aligned pixels, and the grid of their common area."""

    maps: tuple[Delivered, ...]
    weights: tuple[float, ...]
    """Weight of each map, above 0."""
    grid: Grid

    @classmethod
    def of(cls, maps: Sequence[Delivered], weights: Sequence[float] = ()) -> "Fusion":
        """Check that maps can be fused; without weights, they have equal ones.

        Raises
        ------
        MappingError
            They differ in legend, CRS, resolution or pixel alignment.
        FinishError
            They have no common area, there are fewer than two or too many, or one is given twice.
        """
        if not 2 <= len(maps) <= MOST:
            raise FinishError(f"A fusion takes 2 to {MOST} maps; found {len(maps)}.")
        folders = [one.folder.resolve() for one in maps]
        if twice := next((one for k, one in enumerate(folders) if one in folders[:k]), None):
            raise FinishError(f"{twice} is given twice. Give each map once; a weight (--weight) makes one count more.")
        if weights and (len(weights) != len(maps) or min(weights) <= 0 or not np.isfinite(weights).all()):
            raise FinishError(
                f"--weight: found {', '.join(f'{one:g}' for one in weights)} for {len(maps)} maps. Give a weight above 0 for "
                "each map, in their order, or none."
            )
        for other in maps[1:]:
            check_alike(maps[0], other)
        return cls(tuple(maps), tuple(weights) or (1.0,) * len(maps), _common(maps))

    @property
    def legend(self) -> Legend:
        """Legend of the maps."""
        return self.maps[0].legend

    @property
    def overlap(self) -> float:
        """Share of the smallest map that is in the common area."""
        sizes = [one.grid.shape[0] * one.grid.shape[1] for one in self.maps]
        return self.grid.shape[0] * self.grid.shape[1] / min(sizes)

    @cached_property
    def place(self) -> NDArray[np.int64]:
        """Position in the legend of each code (65536,); −1 of codes that are no class."""
        return self.legend.positions()

    @property
    def has_confidence(self) -> bool:
        """Whether all maps have a confidence."""
        return all(one.path("confidence").exists() for one in self.maps)

    def positions(self, window: Window) -> NDArray[np.int64]:
        """Return the position of the class of each map (M, height, width); −1 without data."""
        return np.stack([self.place[one.read("classes", self.grid, window, 0)] for one in self.maps])

    def confidences(self, window: Window) -> NDArray[np.float64]:
        """Return the confidence of each map (M, height, width), 0 to 100; 0 without data."""
        if not self.has_confidence:
            return np.zeros((len(self.maps), window.height, window.width))
        found = np.stack([one.read("confidence", self.grid, window, 255) for one in self.maps])
        return np.where(found == 255, 0, found).astype(np.float64)

    def probabilities(self, window: Window) -> NDArray[np.float64]:
        """Return the probabilities of each map (M, K, height, width), 0 to 1; NaN without data."""
        bands, found = range(1, len(self.legend.codes) + 1), []
        for one in self.maps:
            stored, there = read(one.path("probabilities"), bands, self.grid, window, "nearest")
            found.append(np.where(there, stored * (0.01 if stored.dtype == np.uint8 else 0.0001), np.nan))
        return np.stack(found)

    def write(
        self, layout: MapLayout, bands: Mapping[str, tuple[MapBand, ...]], decide: Decide, progress: Progress
    ) -> Areas:
        """Write the layers of the fused map, tile by tile; return its areas. Nothing has a final name after an error.

        Raises
        ------
        FinishError
            No pixel has a class in two of the maps.
        MappingError
            A file cannot be written.
        """
        areas, shared = AreaCount(self.grid, self.legend), 0
        with written_layers(layout, self.grid, bands, self.legend) as outputs:
            for window, found in self._layers(bands, decide, progress):
                areas.count(window, found["classes"][0])
                shared += int((found["members"] > 1).sum())
                for layer, output in outputs.items():
                    output.put(window, found[layer])
            if not shared:
                raise FinishError(f"{_listed(self.maps)} have no pixel where two of them have a class.")
        return areas.areas()

    def _layers(
        self, bands: Mapping[str, tuple[MapBand, ...]], decide: Decide, progress: Progress
    ) -> Iterator[tuple[Window, dict[str, NDArray[Any]]]]:
        """Yield the layers (bands, height, width) of each tile."""
        codes, windows = np.array([*self.legend.codes, 0]), list(self.grid.tiles(TILE))
        for done, window in enumerate(windows, start=1):
            decision = decide(self, window)
            known = decision.position >= 0
            found = {
                "classes": codes[decision.position],
                "confidence": np.where(known, np.rint(100 * decision.sure).clip(0, 100), 255),
                "members": (self.positions(window) >= 0).sum(0),
            }
            if decision.probabilities is not None:
                band = bands["probabilities"][0]
                found["probabilities"] = np.where(known, np.rint(decision.probabilities / band.scale), band.nodata)
            yield window, {n: v.reshape(-1, *known.shape).astype(bands[n][0].dtype) for n, v in found.items()}
            progress.step("fusing maps", done, len(windows))


def _common(maps: Sequence[Delivered]) -> Grid:
    """Return the grid of the common area of aligned maps."""
    first = maps[0].grid
    common = first.window
    for other in maps[1:]:
        row, column = (round(offset) for offset in first.offset_of(other.grid))
        common = common.clip_to(Window(row, column, *other.grid.shape))
    if not (common.height and common.width):
        bounds = "; ".join(f"{one.folder} {one.grid.bounds}" for one in maps)
        raise FinishError(f"{_listed(maps)} have no common area. Their bounds: {bounds}.")
    return first.crop(common)


def _listed(maps: Sequence[Delivered]) -> str:
    return " and ".join(str(one.folder) for one in maps)


def vote(fusion: Fusion, window: Window) -> Decision:
    """Decide for the class with the most votes; ties: the largest sum of confidence, then the order of the legend."""
    positions, k = fusion.positions(window), len(fusion.legend.codes)
    weights = np.asarray(fusion.weights).reshape(-1, 1, 1)
    votes = counted(positions, np.where(positions >= 0, weights, 0), k)
    sums = counted(positions, fusion.confidences(window), k)
    most = votes.max(0)
    winner = np.where(votes >= most - EQUAL, sums, -1.0).argmax(0)
    total = votes.sum(0)
    share = np.divide(most, total, out=np.zeros_like(most), where=total > 0)
    return Decision(np.where(total > 0, winner, -1), share)


def mean_probability(fusion: Fusion, window: Window) -> Decision:
    """Decide for the class with the highest mean probability; ties: the order of the legend."""
    found = fusion.probabilities(window)
    there = ~np.isnan(found).any(1) & (fusion.positions(window) >= 0)
    weights = np.asarray(fusion.weights).reshape(-1, 1, 1) * there
    total = weights.sum(0)
    mean = (np.where(there[:, None], found, 0) * weights[:, None]).sum(0) / np.where(total > 0, total, 1)
    winner = (mean >= mean.max(0) - EQUAL).argmax(0)
    return Decision(np.where(total > 0, winner, -1), mean.max(0), mean)


@dataclass(frozen=True)
class Evidence:
    """The rule "dempster-shafer": decides for the class with the highest belief."""

    masses: NDArray[np.float64]
    """Mass that each map commits to each of its classes (M, K), 0 to below 1."""

    def __call__(self, fusion: Fusion, window: Window) -> Decision:
        """Decide for the pixels of a window, once for each tuple of classes."""
        positions = fusion.positions(window).reshape(len(fusion.maps), -1)
        tuples, which = _tuples(positions, len(fusion.legend.codes))
        winner, belief = believed(tuples, masses_at(tuples, self.masses), len(fusion.legend.codes))
        shape = (window.height, window.width)
        return Decision(winner[which].reshape(shape), belief[which].reshape(shape))


def masses_of(counts: NDArray[np.float64], kind: Mass) -> NDArray[np.float64]:
    """Return the mass of each map class (..., K) from confusion matrices (..., K, K), reference in rows.

    A class without test pixels has the mass 0: nothing is known about it.
    """
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    held = counts.sum(-2 if kind == "precision" else -1)
    return np.asarray(np.minimum(np.divide(right, held, out=np.zeros(right.shape), where=held > 0), SURE))


def discounted(masses: NDArray[np.float64], weights: Sequence[float]) -> NDArray[np.float64]:
    """Return masses (M, K), discounted by the weight of each map over the largest weight."""
    return np.asarray(masses * (np.asarray(weights) / max(weights))[:, None])


def masses_at(positions: NDArray[np.int64], masses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mass that each map commits to its class at each pixel (M, N); 0 without data."""
    committed = np.take_along_axis(masses, positions.clip(0), 1)
    return np.asarray(np.where(positions >= 0, committed, 0))


def believed(
    positions: NDArray[np.int64], masses: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the class with the highest belief and this belief, (N,); −1 and 0 where no map has data.

    Dempster's rule for masses on single classes and on ignorance: the doubts of the maps that agree are multiplied; a class keeps
    the product of its support and of the doubts of all other classes; what remains is normalised. Ties: the most maps, then the
    order of the legend.

    Parameters
    ----------
    positions : (M, N)
        Class of each map; −1 without data.
    masses : (M, N)
        Mass that each map commits to its class, below 1.
    count
        Number of classes.
    """
    doubt = np.exp(counted(positions, np.log1p(-masses), count))
    support = (1 - doubt) / doubt  # times the product of all doubts
    belief = support / (1 + support.sum(0))
    votes = counted(positions, (positions >= 0).astype(float), count)
    winner = np.where((belief >= belief.max(0) - EQUAL) & (votes > 0), votes, -1.0).argmax(0)
    return np.where(votes.sum(0) > 0, winner, -1), belief.max(0)


def counted(positions: NDArray[np.int64], values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the sum of values (M, ...) over the maps, by class (count, ...)."""
    return np.stack([np.where(positions == k, values, 0.0).sum(0) for k in range(count)])


def _tuples(positions: NDArray[np.int64], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the different columns of (M, N), and the number of the column of each pixel (N,)."""
    key = np.zeros(positions.shape[1], np.int64)
    for row in positions:  # numbered anew for each map, so that keys stay small
        key = np.unique(key * (count + 1) + row + 1, return_inverse=True)[1].ravel()
    first = np.unique(key, return_index=True)[1]
    return positions[:, first], key
