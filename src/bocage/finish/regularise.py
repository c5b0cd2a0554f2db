"""Regularisation of a map: majority filter, sieve, and minimum mapping unit of each class; tile by tile, as in one piece.

An object is small if its area is below the minimum mapping unit of its class, or its pixels below the sieve. In each round,
every small object that borders on one that is not small takes the class with which it shares the longest border, counted in
edges of pixels (the first class of the legend if two are equal). Rounds continue until no small object has such a neighbour.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import FinishError
from bocage.finish.settings import Finishing
from bocage.grid import HECTARE, Window
from bocage.legend import Legend
from bocage.machine import compiled
from bocage.mapping.areas import pixel_areas
from bocage.objects.connected import Codes, Joined, edge_of, label_objects, positions, sums_of
from bocage.objects.scratch import Raster, Scratch
from bocage.progress import Progress
from bocage.shelf import did_you_mean


@dataclass(frozen=True)
class Regularised:
    """A regularised map, tile by tile."""

    tiles: Iterator[tuple[Window, NDArray[Any]]]
    """Window and codes of each tile."""
    left: int
    """Number of pixels of small objects without a neighbour that is large enough; they keep their class."""


def regularise(
    codes: Codes, legend: Legend, settings: Finishing, scratch: Scratch, progress: Progress, within: Codes | None = None
) -> Regularised:
    """Regularise a map.

    Parameters
    ----------
    within
        Numbers of objects or parcels whose borders the majority filter respects.

    Raises
    ------
    FinishError
        A minimum mapping unit is that of an unknown class, or larger than the map.
    """
    table = (legend.positions() + 1).astype(np.uint16)
    ranks = Codes(codes.grid, lambda window: table[codes.read(window)], codes.tile)
    if settings.majority:
        ranks = _filtered(ranks, len(legend.codes), settings.majority, scratch, progress, within)
    left, back = 0, np.array([0, *legend.codes], np.uint16)
    if settings.sieve or settings.mmu or any(settings.mmu_of.values()):
        rounds = _Rounds.of(ranks, minimum_areas(legend, settings), settings.sieve, scratch, progress)
        left = rounds.run(progress)
        state = rounds.state
        return Regularised(((w, back[np.abs(state.read(w))]) for w in codes.windows), left)
    return Regularised(((w, back[ranks.read(w)]) for w in codes.windows), left)


def minimum_areas(legend: Legend, settings: Finishing) -> NDArray[np.float64]:
    """Return the minimum mapping unit of each class in m² (K,).

    Raises
    ------
    FinishError
        `mmu_of` names a class that is not in the legend.
    """
    for name in settings.mmu_of:
        if name not in legend.names:
            known = ", ".join(legend.names)
            raise FinishError(
                f"[finish] mmu_of: the legend has no class '{name}'.{did_you_mean(name, legend.names)} The classes are {known}."
            )
    return np.array([settings.mmu_of.get(name, settings.mmu) * HECTARE for name in legend.names])


@compiled
def _majority(ranks: Any, half: int, classes: int) -> Any:
    """Return the most frequent rank within `half` pixels of each pixel of a window, without its margin of `half` pixels."""
    h, w = ranks.shape[0] - 2 * half, ranks.shape[1] - 2 * half
    found = np.zeros((h, w), np.uint16)
    counts = np.zeros(classes + 1, np.int64)
    for y in range(h):
        counts[:] = 0
        for j in range(2 * half):
            for i in range(2 * half + 1):
                counts[ranks[y + i, j]] += 1
        for x in range(w):
            for i in range(2 * half + 1):
                counts[ranks[y + i, x + 2 * half]] += 1
            own = ranks[y + half, x + half]
            if own:
                best = own
                for k in range(1, classes + 1):
                    if counts[k] > counts[best]:
                        best = k
                found[y, x] = best
            for i in range(2 * half + 1):
                counts[ranks[y + i, x]] -= 1
    return found


@compiled
def _majority_within(ranks: Any, ids: Any, half: int, classes: int) -> Any:
    """Return what `_majority` does, but let only pixels count that have the number in `ids` of the pixel itself."""
    h, w = ranks.shape[0] - 2 * half, ranks.shape[1] - 2 * half
    found = np.zeros((h, w), np.uint16)
    counts = np.zeros(classes + 1, np.int64)
    for y in range(h):
        for x in range(w):
            own = ranks[y + half, x + half]
            if not own:
                continue
            counts[:] = 0
            for i in range(y, y + 2 * half + 1):
                for j in range(x, x + 2 * half + 1):
                    if ids[i, j] == ids[y + half, x + half]:
                        counts[ranks[i, j]] += 1
            best = own
            for k in range(1, classes + 1):
                if counts[k] > counts[best]:
                    best = k
            found[y, x] = best
    return found


def _filtered(
    ranks: Codes, classes: int, side: int, scratch: Scratch, progress: Progress, within: Codes | None
) -> Codes:
    """Return the map after a majority filter; pixels without data stay so, and do not count."""
    half, windows = side // 2, ranks.windows
    found = scratch.raster("majority", ranks.grid.shape, "uint16", ranks.tile)
    for done, window in enumerate(windows, start=1):
        outer = window.pad(half, half)
        values = _padded(ranks, outer)
        if within is None:
            found.write(window, _majority(values, half, classes))
        else:
            found.write(window, _majority_within(values, _padded(within, outer).astype(np.int64), half, classes))
        progress.step("majority filter", done, len(windows))
    return Codes(ranks.grid, found.read, ranks.tile)


def _padded(codes: Codes, outer: Window) -> NDArray[Any]:
    """Read a window that may extend beyond the map, where the codes are 0."""
    inside = outer.clip(codes.grid.shape)
    read = codes.read(inside)
    values = np.zeros((outer.height, outer.width), read.dtype)
    values[inside.within(outer)] = read
    return values


@dataclass
class _Rounds:
    """State while small objects take the class of a neighbour."""

    ranks: Codes
    ids: Raster
    joined: Joined
    state: Raster
    """Rank of the class of each pixel; negative in a small object that has not taken another class yet."""
    open: list[Window]
    """Tiles with such objects."""
    taken: NDArray[np.int32] = field(init=False)
    """Rank that each object across tiles takes; 0: none yet."""

    def __post_init__(self) -> None:
        self.taken = np.zeros(len(self.joined.objects), np.int32)

    @classmethod
    def of(
        cls, ranks: Codes, minimum: NDArray[np.float64], sieve: int, scratch: Scratch, progress: Progress
    ) -> "_Rounds":
        """Label the objects, and find the small ones."""
        shape, grid, areas = ranks.grid.shape, ranks.grid, pixel_areas(ranks.grid)
        ids = scratch.raster("parts", shape, "int64", ranks.tile)
        state = scratch.raster("state", shape, "int32", ranks.tile)

        def measures(window: Window, codes: NDArray[Any]) -> dict[str, NDArray[Any]]:
            area = np.broadcast_to(areas[window.slices[0], None], codes.shape)
            return {"pixels": np.ones(codes.shape), "area": area}

        joined, smallest = label_objects(ranks, ids, progress, measures), np.append(0, minimum)
        total = np.zeros(2)
        open_tiles, windows = [], ranks.windows
        for done, window in enumerate(windows, start=1):
            codes, parts = ranks.read(window).astype(np.int32), ids.read(window)
            at = positions(parts, window, grid)
            sums = {name: sums_of(parts, window, grid, v) for name, v in measures(window, codes).items()}
            edge = np.unique(edge_of(parts))
            edge = edge[edge > 0]
            for name, values in sums.items():
                values[positions(edge, window, grid)] = joined.sums[name][joined.find(edge)]
            # Areas are sums of floating-point numbers: an object of just the minimum area is not small.
            small = (sums["area"][at] < smallest[codes] * (1 - 1e-9)) | (sums["pixels"][at] < sieve)
            small &= codes > 0
            mapped = (codes > 0).sum(1)
            total += (areas[window.slices[0]] @ mapped, mapped.sum())
            state.write(window, np.where(small, -codes, codes))
            open_tiles += [window] if small.any() else []
            progress.step("finding small objects", done, len(windows))
        _check_size(minimum.max(), sieve, total)
        return cls(ranks, ids, joined, state, open_tiles)

    def run(self, progress: Progress) -> int:
        """Run rounds until no small object changes; return the number of pixels of the small objects that are left."""
        number, changed = 0, True
        while changed and self.open:
            number += 1
            votes = [self._vote(window) for window in self.open]
            self.taken = _winners(np.concatenate([v for v, _ in votes], axis=1), len(self.taken))
            changed = bool(self.taken.any()) or any(inside for _, inside in votes)
            self.open = [window for window in self.open if self._apply(window)]
            progress.step("merging small objects", number, number + bool(changed and self.open))
        return sum(int((self.state.read(window) < 0).sum()) for window in self.open)

    def _vote(self, window: Window) -> tuple[NDArray[np.int64], bool]:
        """Let the objects inside a tile take a class; return the borders of the others, and whether any inside did.

        Returns
        -------
        Object across tiles (position), rank of a neighbour, and number of their common edges (3, N); and whether an object
        inside the tile took a class.
        """
        state, parts = self.state.read(window.pad(1, 1)), self.ids.read(window)
        own, at = state[1:-1, 1:-1], positions(parts, window, self.ranks.grid)
        keys = [np.zeros(0, np.int64)]
        for near in (state[:-2, 1:-1], state[2:, 1:-1], state[1:-1, :-2], state[1:-1, 2:]):
            meets = (own < 0) & (near > 0)
            keys.append(at[meets] * RANKS + near[meets])
        found, edges = np.unique(np.concatenate(keys), return_counts=True)
        part, rank = np.divmod(found, RANKS)
        across = self.joined.find(parts.ravel()[part])
        inside = across < 0
        choice = _winners(np.stack([part[inside], rank[inside], edges[inside]]), own.size)
        taken = choice[at]
        self.state.write(window, np.where((own < 0) & (taken > 0), taken, own))
        return np.stack([across[~inside], rank[~inside], edges[~inside]]), bool(inside.any())

    def _apply(self, window: Window) -> bool:
        """Give the objects across tiles their class in a tile; return whether small objects are left in it."""
        state, parts = self.state.read(window), self.ids.read(window)
        small = state < 0
        at = self.joined.find(parts[small])
        taken = np.where(at >= 0, self.taken[at], 0) if len(self.taken) else np.zeros(len(at), np.int32)
        state[small] = np.where(taken > 0, taken, state[small])
        self.state.write(window, state)
        return bool((state < 0).any())


def _check_size(largest: float, sieve: int, total: NDArray[np.float64]) -> None:
    """Check that the minimum area (m²) and the minimum number of pixels of an object are not those of a larger map."""
    if largest > total[0]:
        raise FinishError(
            f"[finish] mmu: the minimum mapping unit {largest / HECTARE:g} ha is larger than the map ({total[0] / HECTARE:g} "
            "ha). Choose a smaller one."
        )
    if sieve > total[1]:
        raise FinishError(
            f"[finish] sieve: the sieve of {sieve} pixels is larger than the map ({total[1]:.0f} pixels). Choose a smaller one."
        )


RANKS = 1 << 16
"""More than the number of classes."""


def _winners(votes: NDArray[np.int64], count: int) -> NDArray[np.int32]:
    """Return the rank with most edges of each of `count` objects, the lowest of equal ones; 0 without edges.

    `votes` are object, rank and number of edges (3, N); pairs may be repeated.
    """
    found = np.zeros(count, np.int32)
    pair, which = np.unique(votes[0] * RANKS + votes[1], return_inverse=True)
    edges = np.bincount(which, votes[2], len(pair))
    owner, rank = np.divmod(pair, RANKS)
    order = np.lexsort((-rank, edges, owner))  # the last of each object wins
    found[owner[order]] = rank[order]
    return found
