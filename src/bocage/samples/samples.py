"""The nouns of this room: what the user gives (a survey), what is labelled, and the samples made of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.legend import Legend
from bocage.samples.chips import Chips
from bocage.samples.cut import Cut
from bocage.samples.rasterise import Pixels
from bocage.samples.reference import Reference, Rejection
from bocage.samples.split import Draw, Split, Units, draw
from bocage.words import Note


@dataclass(frozen=True)
class Survey:
    """Reference polygons, the legend that their labels are read with, and how they are split."""

    reference: Reference
    legend: Legend
    split: Split


@dataclass(frozen=True)
class Samples:
    """Every labelled pixel that can be used, and the footprints cut around it."""

    row: NDArray[np.int32]
    column: NDArray[np.int32]
    label: NDArray[np.int16]
    """Position of the class in `legend`."""
    polygon: NDArray[np.int32]
    block: NDArray[np.int32]
    """Number of the square of the ground (``[split] block`` a side) that holds the middle of the pixel's polygon."""
    legend: Legend
    """The legend less the classes dropped."""
    rejections: tuple[Rejection, ...]
    notes: tuple[Note, ...]
    cuts: Mapping[str, Cut]
    split: Split
    """How the samples are shared out."""
    fold: NDArray[np.int32] | None = None
    """Position in `folds` of every sample, where the split goes by a field."""
    folds: tuple[str, ...] = ()
    """Names of the folds, sorted."""
    place: NDArray[np.float64] | None = None
    """(N, 2) metres north and east of anywhere; None for rows of a table whose features have no CRS."""

    @property
    def draws(self) -> int:
        """Number of draws, or of folds."""
        return len(self.folds) or self.split.draws

    def draw(self, number: int) -> Draw:
        """Return draw or fold `number`, from 0."""
        return draw(self._units, self.split, number)

    @property
    def group(self) -> NDArray[Any]:
        """Number of the polygon, block or pixel, whichever the split draws, of every sample."""
        return self._units.group(self.split)

    @property
    def chips(self) -> Chips:
        """The cut footprints with label and polygon of every sample."""
        return Chips(self.cuts, self.label, self.polygon)

    def pixels(self, members: NDArray[np.int64]) -> Pixels:
        """Return some samples as labelled pixels of the map's grid."""
        return Pixels(self.row[members], self.column[members], self.label[members], self.polygon[members])

    @property
    def _units(self) -> Units:
        return Units(self.label, self.polygon, self.block, self.place, self.fold)

    def without(self, members: NDArray[np.int64]) -> list[str]:
        """Names of the classes that none of the samples `members` has."""
        names: list[str] = np.delete(np.array(self.legend.names), np.unique(self.label[members])).tolist()
        return names

    def count_polygons(self, index: int) -> int:
        """Usable polygons of the class at `index`."""
        return len(np.unique(self.polygon[self.label == index]))

    def to_parquet(self, path: Path) -> None:
        """Write one row per sample: row, column, code, class, polygon, block."""
        codes = np.array(self.legend.codes)
        pd.DataFrame(
            {
                "row": self.row,
                "column": self.column,
                "code": codes[self.label],
                "class": np.array(self.legend.names)[self.label],
                "polygon": self.polygon,
                "block": self.block,
            }
        ).to_parquet(path)


@dataclass(frozen=True)
class Labelled:
    """Labelled pixels: those inside polygons, or the rows of a table."""

    pixels: Pixels
    rejections: tuple[Rejection, ...]
    notes: tuple[Note, ...]
    folds: pd.Series
    """Fold of each polygon number; empty without a field of folds."""
    place: NDArray[np.float64] | None
    """(N, 2) metres north and east; None where the features of a table have no CRS."""
