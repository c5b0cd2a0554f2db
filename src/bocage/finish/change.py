"""Change between two maps of one nomenclature: area of every transition, and the map of the transitions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import FinishError, GridError
from bocage.grid import Grid, Window
from bocage.layout import ChangeLayout
from bocage.legend import LandClass, Legend
from bocage.mapping import WRITERS, MapBand, pixel_areas
from bocage.mapping.delivered import Delivered, check_alike
from bocage.progress import Progress

SAME = "#d9d9d9"
"""Colour of what did not change; a change has the colour of the class after it."""
MOST = 255
"""Maximum number of classes: a code for each pair fits 16 bits."""


@dataclass(frozen=True)
class Change:
    """Two maps and the grid of their common area."""

    before: Delivered
    after: Delivered
    grid: Grid

    @classmethod
    def of(cls, before: Delivered, after: Delivered) -> "Change":
        """Check that two maps can be compared.

        Raises
        ------
        MappingError
            They differ in legend, CRS, resolution or pixel alignment.
        FinishError
            They have no common area, or too many classes.
        """
        check_alike(before, after)
        if len(before.legend.codes) > MOST:
            raise FinishError(f"The legend of {before.folder} has more than {MOST} classes; change cannot be coded.")
        row, column = (round(offset) for offset in before.grid.offset_of(after.grid))
        common = Window(row, column, *after.grid.shape).clip(before.grid.shape)
        try:
            return cls(before, after, before.grid.crop(common))
        except GridError as error:
            raise FinishError(
                f"{before.folder} and {after.folder} have no common area: their bounds are {before.grid.bounds} and "
                f"{after.grid.bounds}."
            ) from error

    @property
    def legend(self) -> Legend:
        """Code, name and colour of every transition: (position before) × K + position after + 1."""
        legend = self.before.legend
        count, classes = len(legend.codes), []
        for i, old in enumerate(legend.names):
            for j, new in enumerate(legend.names):
                name, color = (f"{old} → {new}", legend.colors[j]) if i != j else (f"{old}, no change", SAME)
                classes.append(LandClass(i * count + j + 1, name, color))
        return Legend(tuple(classes))

    def write(self, layout: ChangeLayout, progress: Progress, tile: int = 1024) -> NDArray[np.float64]:
        """Write the map of transitions; return the area in m² by class before (row) and after (column), (K, K).

        Pixels without a class in one of the maps have no data, and do not count.
        """
        count, legend, heights = len(self.before.legend.codes), self.legend, pixel_areas(self.grid)
        dtype = "uint8" if count * count <= 255 else "uint16"
        area = np.zeros(count * count + 1)
        output = WRITERS.get("cog").open(
            layout.classes, self.grid, (MapBand("transition", dtype, 0, categorical=True),), legend
        )
        try:
            for window, codes in self._windows(tile, progress):
                weight = np.broadcast_to(heights[window.slices[0], None], codes.shape)
                area += np.bincount(codes.ravel(), weight.ravel(), len(area))
                output.put(window, codes[None].astype(dtype))
            if not area[1:].any():
                raise FinishError(
                    f"{self.before.folder} and {self.after.folder} have no pixel where both have a class."
                )
            output.close()
        except BaseException:
            output.discard()
            raise
        return area[1:].reshape(count, count)

    def _windows(self, tile: int, progress: Progress) -> Iterator[tuple[Window, NDArray[Any]]]:
        """Yield the codes of the transitions of each tile."""
        count, table = len(self.before.legend.codes), self.before.legend.positions() + 1
        windows = list(self.grid.tiles(tile))
        for done, window in enumerate(windows, start=1):
            old, new = (table[one.read("classes", self.grid, window, 0)] for one in (self.before, self.after))
            yield window, np.where((old > 0) & (new > 0), (old - 1) * count + new, 0)
            progress.step("comparing maps", done, len(windows))
