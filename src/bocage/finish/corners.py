"""Vertices of the borders of a map on disk, read by window."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.grid import Window
from bocage.objects.scratch import Raster, Scratch

CHUNK = 256
"""Side of a chunk in corners."""
HELD = 512
"""Number of chunks in memory (32 MB)."""


@dataclass
class Corners:
    """Which corners of a map's pixels are vertices of a border; the chunks used last are in memory."""

    raster: Raster
    held: OrderedDict[tuple[int, int], NDArray[np.uint8]] = field(default_factory=OrderedDict)
    changed: set[tuple[int, int]] = field(default_factory=set)

    @classmethod
    def new(cls, scratch: Scratch, shape: tuple[int, int]) -> "Corners":
        """Return an empty raster for a map of `shape` pixels."""
        return cls(scratch.raster("corners", (shape[0] + 1, shape[1] + 1), "uint8", CHUNK))

    def write(self, window: Window, values: NDArray[np.uint8]) -> None:
        """Write a window of corners."""
        for place, part in self._parts(window):
            chunk = self._chunk(place)
            chunk[part.within(self._window(place))] = values[part.within(window)]
            self.changed.add(place)

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Return a copy of a window of corners."""
        values = np.zeros((window.height, window.width), np.uint8)
        for place, part in self._parts(window):
            values[part.within(window)] = self._chunk(place)[part.within(self._window(place))]
        return values

    def _parts(self, window: Window) -> list[tuple[tuple[int, int], Window]]:
        rows, columns = (range(part.start // CHUNK, (part.stop - 1) // CHUNK + 1) for part in window.slices)
        return [((y, x), self._window((y, x)).clip_to(window)) for y in rows for x in columns]

    @staticmethod
    def _window(place: tuple[int, int]) -> Window:
        return Window(place[0] * CHUNK, place[1] * CHUNK, CHUNK, CHUNK)

    def _chunk(self, place: tuple[int, int]) -> NDArray[Any]:
        if place in self.held:
            self.held.move_to_end(place)
            return self.held[place]
        self.held[place] = self.raster.read(self._window(place))
        if len(self.held) > HELD:
            old, values = self.held.popitem(last=False)
            if old in self.changed:
                inside = self._window(old).clip(self.raster.shape)
                self.raster.write(inside, values[: inside.height, : inside.width])
                self.changed.discard(old)
        return self.held[place]
