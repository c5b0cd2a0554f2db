"""Merging of small objects with their spectrally nearest neighbours, tile by tile, as in one piece.

In each round, every object of at most `limit` pixels chooses its nearest neighbour, and all choices are carried out at once. They
compare the objects as they were before the round, so that they depend neither on an order nor on the tiles. The limit is doubled
from round to round up to the minimum, so that the smallest objects merge first.

Objects inside a tile are merged in the graph of the tile, on disk. Objects that touch the border of a tile are in memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.objects.neighbours import Graph, nearest
from bocage.progress import Progress


def connected(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the group of each of `count` nodes that `pairs` (E, 2) connect, from 0."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    return np.asarray(labels, np.int64)


@dataclass
class Shared:
    """Objects that touch the border of a tile."""

    root: NDArray[np.int64]
    """Object of each part (M,)."""
    number: NDArray[np.int64]
    """First pixel of each object, plus 1 (C,)."""
    size: NDArray[np.int64]
    """(C,)"""
    sums: NDArray[np.int64]
    """(C, F)"""

    def join(self, pairs: NDArray[np.int64]) -> None:
        """Join the pairs of objects (E, 2)."""
        label = connected(len(self.size), pairs)
        count = int(label.max(initial=-1)) + 1
        number, size = np.full(count, np.iinfo(np.int64).max), np.zeros(count, np.int64)
        sums = np.zeros((count, self.sums.shape[1]), np.int64)
        np.minimum.at(number, label, self.number)
        np.add.at(size, label, self.size)
        np.add.at(sums, label, self.sums)
        self.root, self.number, self.size, self.sums = label[self.root], number, size, sums


@dataclass(frozen=True)
class _Votes:
    """Nearest neighbours of objects that touch the border of a tile, as far as a tile knows them."""

    root: NDArray[np.int64]
    distance: NDArray[np.float64]
    number: NDArray[np.int64]
    """Number of the neighbour."""
    tile: NDArray[np.int64]
    inside: NDArray[np.int64]
    """Node of the neighbour in this tile; -1 if it touches the border of a tile."""
    other: NDArray[np.int64]
    """Neighbour that touches the border of a tile; -1 if it is inside."""

    def nearest(self) -> "_Votes":
        """Return the nearest neighbour of each object."""
        order = np.lexsort((self.number, self.distance, self.root))
        root = self.root[order]
        first = order[np.append(True, root[1:] != root[:-1])[: len(root)]]
        return _Votes(**{name: values[first] for name, values in self.__dict__.items()})

    @classmethod
    def together(cls, parts: Sequence["_Votes"]) -> "_Votes":
        """Return the votes of several tiles."""
        return cls(
            *(np.concatenate(values) for values in zip(*(part.__dict__.values() for part in parts), strict=True))
        )


@dataclass
class Merging:
    """State while small objects merge."""

    graphs: list[Path]
    """Graph of each tile."""
    shared: Shared
    minimum: int
    """Minimum number of pixels of an object."""
    changes: list[tuple[NDArray[np.int64], ...]] = field(default_factory=list)
    """What the tiles of a round add to the shared objects: object, number, size and sums."""
    pairs: list[NDArray[np.int64]] = field(default_factory=list)
    """Shared objects that a round joins (E, 2)."""

    def run(self, progress: Progress) -> None:
        """Merge until no object that has a neighbour is below the minimum."""
        last = self.minimum - 1
        limit, done, more = 1, 0, last > 0
        while more:
            changed = self._round(limit)
            more = changed or limit < last  # the last limit is repeated until nothing merges
            limit, done = min(2 * limit, last), done + 1
            progress.step("merging small objects", done, done + more)

    def _round(self, limit: int) -> bool:
        """Merge all objects of at most `limit` pixels once; return whether any was merged."""
        votes = _Votes.together([self._votes(tile, limit) for tile in range(len(self.graphs))]).nearest()
        across = votes.other >= 0
        self.changes, self.pairs = [], [np.stack([votes.root[across], votes.other[across]], axis=1)]
        merged = [self._merge(tile, limit, votes) for tile in range(len(self.graphs))]
        if len(self.shared.root):
            self._absorb()
        return bool(len(votes.root)) or any(merged)

    def _absorb(self) -> None:
        for root, number, size, sums in self.changes:
            np.minimum.at(self.shared.number, root, number)
            np.add.at(self.shared.size, root, size)
            np.add.at(self.shared.sums, root, sums)
        self.shared.join(np.concatenate(self.pairs))

    def _seen(self, graph: Graph, limit: int) -> tuple[NDArray[Any], ...]:
        """Return, for a tile: object of each node (-1 inside), node that stands for it, number, nearest neighbour, distance."""
        shared = self.shared
        at = graph.shared >= 0
        root = np.where(at, shared.root[graph.shared] if len(shared.root) else -1, -1)
        number, size, sums = graph.number.copy(), graph.size.copy(), graph.sums.copy()
        number[at], size[at], sums[at] = shared.number[root[at]], shared.size[root[at]], shared.sums[root[at]]
        same = np.arange(len(root))
        nodes = np.flatnonzero(at)
        _, first, which = np.unique(root[at], return_index=True, return_inverse=True)
        same[nodes] = nodes[first][which]
        best, least = nearest(graph.edges, same, number, size, sums, limit)
        return root, same, number, best, least

    def _votes(self, tile: int, limit: int) -> _Votes:
        """Return the votes of a tile about the objects that touch its border."""
        root, _, number, best, least = self._seen(Graph.load(self.graphs[tile]), limit)
        own = np.flatnonzero((root >= 0) & (best >= 0))
        to = best[own]
        inside = np.where(root[to] < 0, to, -1)
        return _Votes(root[own], least[own], number[to], np.full(len(own), tile), inside, root[to])

    def _merge(self, tile: int, limit: int, votes: _Votes) -> bool:
        """Merge the objects of a tile as chosen; return whether any inside of it was merged."""
        path = self.graphs[tile]
        graph = Graph.load(path)
        root, same, _, best, _ = self._seen(graph, limit)
        nodes = np.arange(len(root))
        choosing = (root < 0) & (best >= 0)
        here = (votes.tile == tile) & (votes.inside >= 0)
        standing = np.full(len(self.shared.size), -1)
        standing[root[root >= 0]] = same[root >= 0]
        links = [(nodes[choosing], best[choosing]), (standing[votes.root[here]], votes.inside[here])]
        if not any(len(first) for first, _ in links):
            return False
        links.append((nodes, same))
        label = connected(len(nodes), np.concatenate([np.stack(link, axis=1) for link in links]))
        self._joined(graph, root, label).save(path)
        return True

    def _joined(self, graph: Graph, root: NDArray[np.int64], label: NDArray[np.int64]) -> Graph:
        """Return the graph with the groups `label` as nodes; note what the shared objects take from it."""
        count, inside = int(label.max()) + 1, root < 0
        number, size = np.full(count, np.iinfo(np.int64).max), np.zeros(count, np.int64)
        sums = np.zeros((count, graph.sums.shape[1]), np.int64)
        np.minimum.at(number, label[inside], graph.number[inside])
        np.add.at(size, label[inside], graph.size[inside])
        np.add.at(sums, label[inside], graph.sums[inside])
        shared, of = np.full(count, -1), np.full(count, -1)
        shared[label[~inside]], of[label[~inside]] = graph.shared[~inside], root[~inside]
        takes = np.flatnonzero((of >= 0) & (size > 0))
        self.changes.append((of[takes], number[takes], size[takes], sums[takes]))
        self.pairs.append(np.stack([root[~inside], of[label[~inside]]], axis=1))
        pairs = np.sort(label[graph.edges], axis=1)
        pairs = np.unique(pairs[:, 0] * count + pairs[:, 1])
        low, high = np.divmod(pairs, count)
        edges = np.stack([low, high], axis=1)[low != high]
        alive = of < 0
        return Graph(
            number, np.where(alive, size, 0), np.where(alive[:, None], sums, 0), edges, shared, label[graph.node]
        )
