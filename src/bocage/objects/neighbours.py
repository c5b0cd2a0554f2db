"""Graph of the objects of a tile: their sizes, their sums and which of them are neighbours, and the merging of some of them.

A node that touches the border of a tile belongs to an object that may extend into other tiles; `shared` has the position of this
object in the list of all of them. Any other node is an object inside the tile.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.disk import replacing
from bocage.machine import compiled


@dataclass
class Graph:
    """Objects of a tile, and their neighbours across an edge of a pixel."""

    number: NDArray[np.int64]
    """First pixel of each node in the scene, row by row, plus 1 (N,)."""
    size: NDArray[np.int64]
    """Pixels of each node in this tile (N,)."""
    sums: NDArray[np.int64]
    """Sums of the scaled features over these pixels (N, F)."""
    edges: NDArray[np.int64]
    """Pairs of nodes that are neighbours, each once (E, 2)."""
    shared: NDArray[np.int64]
    """Position of the object among those that touch borders of tiles; -1 inside the tile (N,)."""
    node: NDArray[np.int64]
    """Node of each part that was labelled in the tile, in the order of their first pixels (P,)."""

    def save(self, path: Path) -> None:
        """Write the graph atomically."""
        with replacing(path) as partial, partial.open("wb") as stream:
            np.savez(stream, **self.__dict__)

    @classmethod
    def load(cls, path: Path) -> "Graph":
        """Read what :meth:`save` wrote."""
        with np.load(path) as stored:
            return cls(**{name: stored[name] for name in stored.files})


@compiled
def part_of_pixels(ids: Any, y0: int, x0: int, columns: int) -> Any:
    """Return the position of the part of each pixel in the order of their first pixels, -1 for none; and their number.

    `ids` are numbers of :func:`bocage.objects.connected.label` of a tile at `y0`, `x0` in a scene of `columns` columns.
    """
    height, width = ids.shape
    position = np.full((height, width), -1, np.int64)
    count = 0
    for y in range(height):
        for x in range(width):
            if ids[y, x] == 0:
                continue
            row, column = (ids[y, x] - 1) // columns - y0, (ids[y, x] - 1) % columns - x0
            if row == y and column == x:
                position[y, x] = count
                count += 1
            else:
                position[y, x] = position[row, column]
    return position, count


@compiled
def measured(position: Any, scaled: Any, count: int) -> Any:
    """Return the size (N,) and the sums of the features (N, F) of the parts of a tile."""
    size, sums = np.zeros(count, np.int64), np.zeros((count, scaled.shape[0]), np.int64)
    for y in range(position.shape[0]):
        for x in range(position.shape[1]):
            i = position[y, x]
            if i >= 0:
                size[i] += 1
                for f in range(scaled.shape[0]):
                    sums[i, f] += scaled[f, y, x]
    return size, sums


def pairs_of(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the pairs of different parts, each once, the lower first; -1 is no part (E, 2)."""
    there = (first >= 0) & (second >= 0) & (first != second)
    low, high = np.minimum(first[there], second[there]), np.maximum(first[there], second[there])
    if not len(low):
        return np.zeros((0, 2), np.int64)
    base = int(high.max()) + 1
    return np.stack(np.divmod(np.unique(low * base + high), base), axis=1)


@compiled
def nearest(edges: Any, same: Any, number: Any, size: Any, sums: Any, limit: int) -> Any:
    """Return the spectrally nearest neighbour of each object of at most `limit` pixels, and its distance.

    The distance is that of the mean features, squared. Of equally near neighbours, the one with the lowest number is taken.

    Parameters
    ----------
    same
        Node that stands for the object of each node (N,); the others have the values of the object too.

    Returns
    -------
    Node of the neighbour (-1: none, or not small), and the distance (N,).
    """
    best, least = np.full(len(size), -1, np.int64), np.full(len(size), np.inf)
    for e in range(len(edges)):
        a, b = same[edges[e, 0]], same[edges[e, 1]]
        if a == b or (size[a] > limit and size[b] > limit):
            continue
        distance = 0.0
        for f in range(sums.shape[1]):
            difference = sums[a, f] / size[a] - sums[b, f] / size[b]
            distance += difference * difference
        for own, other in ((a, b), (b, a)):
            if size[own] > limit:
                continue
            nearer = distance < least[own]
            if distance == least[own] and best[own] >= 0:
                nearer = number[other] < number[best[own]]
            if nearer or best[own] < 0:
                best[own], least[own] = other, distance
    return best, least
