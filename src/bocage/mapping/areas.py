"""Pixels and hectares of every class of a map: counted once, while it is written, and read again from ``areas.csv``."""

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import MappingError
from bocage.grid import HECTARE, Grid, Window, pixel_sides
from bocage.legend import Legend
from bocage.textfile import write_csv

HEADER = ["code", "name", "pixels", "hectares", "percent"]


@dataclass(frozen=True)
class Areas:
    """What a map gives to every class, in the order of its legend."""

    legend: Legend
    pixels: NDArray[np.int64]
    """(K,)"""
    hectares: NDArray[np.float64]
    """(K,); in a geographic CRS a pixel has the area that it has in its row."""

    @property
    def total(self) -> float:
        """Hectares of the mapped area, no data left out."""
        return float(self.hectares.sum())

    @property
    def shares(self) -> list[float]:
        """Share of the mapped area that each class has, 0 to 1 (K)."""
        uniform = np.ptp(self._per_pixel) <= 1e-6 * max(float(self._per_pixel.max(initial=0)), 1e-12)
        weight = self.pixels if uniform else self.hectares  # pixels of one size: their counts are exact
        return [float(one / max(weight.sum(), 1e-12)) for one in weight]

    @property
    def _per_pixel(self) -> NDArray[np.float64]:
        """Mean hectares of a pixel of each class that has some."""
        there = self.pixels > 0
        return np.asarray(self.hectares[there] / self.pixels[there])

    def save(self, path: Path) -> None:
        """Write the table atomically: code, name, pixels, hectares, and the share of the mapped area in percent."""
        total = max(self.total, 1e-12)
        rows = zip(self.legend.codes, self.legend.names, self.pixels.tolist(), self.hectares.tolist(), strict=True)
        shown = ([code, name, n, f"{area:.4f}", f"{100 * area / total:.3f}"] for code, name, n, area in rows)
        write_csv(path, [HEADER, *shown])

    @classmethod
    def load(cls, path: Path, legend: Legend) -> "Areas":
        """Read what :meth:`save` wrote for a map of this legend.

        Raises
        ------
        MappingError
            The file is missing, damaged, or of another legend.
        """
        try:
            with path.open(newline="", encoding="utf-8") as stream:
                rows = {
                    int(row["code"]): (int(row["pixels"]), float(row["hectares"])) for row in csv.DictReader(stream)
                }
            pixels, hectares = zip(*(rows[code] for code in legend.codes), strict=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MappingError(f"{path} cannot be read as the areas of this map ({error}): map again.") from error
        return cls(legend, np.array(pixels, np.int64), np.array(hectares, np.float64))


@dataclass
class AreaCount:
    """Pixels of every class in every row, counted window by window: the result depends on no window."""

    grid: Grid
    legend: Legend
    rows: NDArray[np.int64] = field(init=False)
    """(K, rows of the grid)."""

    def __post_init__(self) -> None:
        self.rows = np.zeros((len(self.legend.classes), self.grid.shape[0]), np.int64)

    def count(self, window: Window, codes: NDArray[Any]) -> None:
        """Count the codes (height, width) of a window."""
        ys = window.slices[0]
        for k, code in enumerate(self.legend.codes):
            self.rows[k, ys] += (codes == code).sum(1)

    def areas(self) -> Areas:
        """Return the areas of what was counted."""
        pixels, per_row = np.asarray(self.rows.sum(1)), pixel_areas(self.grid) / HECTARE
        if np.ptp(per_row) == 0:
            return Areas(self.legend, pixels, np.asarray(pixels * per_row[0], np.float64))
        return Areas(self.legend, pixels, np.asarray(self.rows @ per_row))


def pixel_areas(grid: Grid) -> NDArray[np.float64]:
    """Return the area on the ground of a pixel in each row of a grid, in m² (height); in a projected CRS, that of its middle."""
    height, width = pixel_sides(grid)
    return height * width
