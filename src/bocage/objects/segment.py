"""Segmentation of a scene: clusters of pixels, connected pixels of one cluster, small ones merged with the nearest neighbour.

The method is that of Shepherd, Bunting and Dymond (2019, doi:10.3390/rs11060658). Departures: the sample of the k-means is drawn
from random squares, all objects below a limit merge in one round (:mod:`bocage.objects.merging`), and there is no largest
distance, so that every object that has a neighbour reaches the minimum.

::

    stack (F, y, x) → sample → centres (K, F)
          └→ codes (y, x) → parts (y, x) and a graph for each tile → rounds → ids (y, x), 1 to N

Files for this are in the scratch folder. A process that was killed resumes with the first tile whose graph is missing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bocage.disk import digest, naming, remove_folder, replacing, write_text
from bocage.errors import SceneError
from bocage.grid import Grid, Window
from bocage.machine import versions
from bocage.objects.clusters import Clusters, find_clusters
from bocage.objects.connected import label
from bocage.objects.merging import Merging, Shared
from bocage.objects.neighbours import Graph, measured, pairs_of, part_of_pixels
from bocage.objects.scratch import Raster, Scratch
from bocage.objects.settings import Segmenting
from bocage.objects.stack import Stack
from bocage.progress import Progress

FORMAT = 2
"""Changed when the same settings and files give other objects."""


@dataclass(frozen=True)
class Objects:
    """Objects of a scene, tile by tile."""

    tiles: Iterator[tuple[Window, NDArray[np.uint32]]]
    """Window and numbers of each tile, 1 to `count`; 0: no object."""
    count: int
    """Number of objects."""
    left: int
    """Number of objects below the minimum: they have no neighbour."""
    clusters: int
    """Number of clusters."""


def segment(stack: Stack, settings: Segmenting, folder: Path, key: str, progress: Progress) -> Objects:
    """Segment a stack.

    Parameters
    ----------
    folder
        Folder for temporary files. It may have those of a process that was killed.
    key
        Digest of the inputs: temporary files of other inputs or settings are removed.

    Raises
    ------
    SceneError
        No pixel has values, or the minimum is larger than the scene.
    """
    work = _Work(stack, settings, settings.pixels(stack.grid), folder)
    work.begin(digest(FORMAT, key, settings, versions()))
    clusters = work.clusters(progress)
    parts = work.parts(clusters, progress)
    shared = work.shared()
    if work.valid < work.minimum:
        raise SceneError(
            f"[segment] minimum, mmu: {work.minimum} pixels are more than the {work.valid} pixels with values. Choose a "
            "smaller one."
        )
    merging = Merging([work.now(window) for window in work.windows], shared, work.minimum)
    merging.run(progress)
    return work.objects(parts, merging.shared, len(clusters.centres))


@dataclass
class _Work:
    """A segmentation in its folder of temporary files."""

    stack: Stack
    settings: Segmenting
    minimum: int
    folder: Path
    valid: int = 0
    """Number of pixels with values."""

    @property
    def grid(self) -> Grid:
        """Grid of the objects."""
        return self.stack.grid

    @property
    def windows(self) -> list[Window]:
        """The tiles, row by row."""
        return list(self.grid.tiles(self.settings.tile))

    def first(self, window: Window) -> Path:
        """Graph of a tile before the merging; written last of the files of the tile."""
        return self.folder / f"first-{window.corner}.npz"

    def now(self, window: Window) -> Path:
        """Graph of a tile while objects merge."""
        return self.folder / f"now-{window.corner}.npz"

    def meetings(self, window: Window) -> Path:
        """Parts of one cluster that meet at the borders with the tiles above and to the left."""
        return self.folder / f"meetings-{window.corner}.npy"

    def begin(self, identity: str) -> None:
        """Create the folder, unless it has the files of an unfinished segmentation of the same inputs and settings."""
        marker = self.folder / "identity.txt"
        if marker.exists() and marker.read_text(encoding="utf-8") == identity:
            return
        remove_folder(self.folder)
        with naming(self.folder):
            self.folder.mkdir(parents=True)
            Scratch(self.folder).raster("codes", self.grid.shape, "uint16", self.settings.tile)
            Scratch(self.folder).raster("parts", self.grid.shape, "int64", self.settings.tile)
        write_text(marker, identity)

    def clusters(self, progress: Progress) -> Clusters:
        """Return the clusters; those that were found before a process was killed are kept."""
        path = self.folder / "clusters.npz"
        if not path.exists():
            settings = self.settings
            found = find_clusters(self.stack, settings.clusters, settings.sample, settings.seed, progress)
            with replacing(path) as partial, partial.open("wb") as stream:
                np.savez(stream, low=found.low, span=found.span, centres=found.centres)
        with np.load(path) as stored:
            return Clusters(**{name: stored[name] for name in stored.files})

    def parts(self, clusters: Clusters, progress: Progress) -> Raster:
        """Label connected pixels of one cluster in each tile, with their neighbours; return the raster of the parts."""
        scratch, windows = Scratch(self.folder), self.windows
        codes, parts = scratch.opened("codes"), scratch.opened("parts")
        for done, window in enumerate(windows, start=1):
            if not self.first(window).exists():
                self._cut(window, clusters, codes, parts)
            progress.step("finding objects", done, len(windows))
        return parts

    def _cut(self, window: Window, clusters: Clusters, codes: Raster, parts: Raster) -> None:
        values, valid = self.stack.read(window)
        scaled = clusters.scaled(values, valid)
        code = clusters.codes(scaled, valid)
        ids = label(code, window.y, window.x, self.grid.shape[1])
        codes.write(window, code)
        parts.write(window, ids)
        position, count = part_of_pixels(ids, window.y, window.x, self.grid.shape[1])
        size, sums = measured(position, scaled, count)
        number = ids[position >= 0][np.unique(position[position >= 0], return_index=True)[1]]
        border = np.zeros(count, bool)
        edge = np.concatenate([position[0], position[-1], position[:, 0], position[:, -1]])
        border[edge[edge >= 0]] = True
        pairs = [pairs_of(position[1:].ravel(), position[:-1].ravel())]
        pairs.append(pairs_of(position[:, 1:].ravel(), position[:, :-1].ravel()))
        meetings, across = self._meet(window, codes, parts, (code, ids))
        foreign, to = np.unique(across[:, 0], return_inverse=True)
        at = np.searchsorted(number, across[:, 1])
        pairs.append(np.stack([at, count + to], axis=1))
        none = np.zeros(len(foreign), np.int64)
        graph = Graph(
            number=np.concatenate([number, foreign]), size=np.concatenate([size, none]),
            sums=np.concatenate([sums, np.zeros((len(foreign), len(sums[0]) if count else scaled.shape[0]), np.int64)]),
            edges=np.unique(np.concatenate(pairs), axis=0), shared=np.concatenate([np.where(border, 0, -1), none]),
            node=np.arange(count),
        )  # fmt: skip
        with naming(self.meetings(window)):
            np.save(self.meetings(window), meetings)
        graph.save(self.first(window))

    def _meet(
        self, window: Window, codes: Raster, parts: Raster, own: tuple[NDArray[np.uint16], NDArray[np.int64]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the pairs of parts that meet at the borders above and to the left: of one cluster, and of two (E, 2)."""
        code, ids = own
        above = Window(window.y - 1, window.x, 1, window.width)
        left = Window(window.y, window.x - 1, window.height, 1)
        there = np.concatenate([parts.read(above)[0], parts.read(left)[:, 0]])
        there_code = np.concatenate([codes.read(above)[0], codes.read(left)[:, 0]])
        here, here_code = np.concatenate([ids[0], ids[:, 0]]), np.concatenate([code[0], code[:, 0]])
        known = (there > 0) & (here > 0)
        pairs = np.stack([there, here], axis=1)
        same = there_code == here_code
        return np.unique(pairs[known & same], axis=0), np.unique(pairs[known & ~same], axis=0)

    def shared(self) -> Shared:
        """Write the graphs to merge, and return the objects that touch borders of tiles."""
        found: list[tuple[NDArray[np.int64], ...]] = []
        meetings = []
        for window in self.windows:
            graph = Graph.load(self.first(window))
            self.valid += int(graph.size.sum())
            own = np.flatnonzero((graph.shared >= 0) & (graph.size > 0))
            found.append((graph.number[own], graph.size[own], graph.sums[own]))
            meetings.append(np.load(self.meetings(window)))
        number, size, sums = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(number)
        number = number[order]
        shared = Shared(np.arange(len(number)), number.copy(), size[order], sums[order])
        for window in self.windows:
            graph = Graph.load(self.first(window))
            at = graph.shared >= 0
            graph.shared[at] = np.searchsorted(number, graph.number[at])
            graph.save(self.now(window))
        if len(number):
            shared.join(np.searchsorted(number, np.concatenate(meetings)))
        return shared

    def objects(self, parts: Raster, shared: Shared, clusters: int) -> Objects:
        """Return the objects, numbered in the order of their first pixels."""
        numbers, small = [shared.number], int((shared.size < self.minimum).sum())
        for window in self.windows:
            graph = Graph.load(self.now(window))
            inside = graph.shared < 0
            numbers.append(graph.number[inside])
            small += int((graph.size[inside] < self.minimum).sum())
        ordered = np.sort(np.concatenate(numbers))
        return Objects(self._numbered(parts, shared, ordered), len(ordered), small, clusters)

    def _numbered(
        self, parts: Raster, shared: Shared, ordered: NDArray[np.int64]
    ) -> Iterator[tuple[Window, NDArray[np.uint32]]]:
        for window in self.windows:
            graph, ids = Graph.load(self.now(window)), parts.read(window)
            at = graph.shared >= 0
            number = graph.number.copy()
            number[at] = shared.number[shared.root[graph.shared[at]]]
            position, _ = part_of_pixels(ids, window.y, window.x, self.grid.shape[1])
            rank = np.append(np.searchsorted(ordered, number[graph.node]) + 1, 0)  # position -1: no object
            yield window, rank[position].astype(np.uint32)
