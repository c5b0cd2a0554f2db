"""Data classes of samples: the survey given by the user, the labelled pixels, and the samples cut from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.disk import replacing
from bocage.grid import Grid
from bocage.legend import Legend
from bocage.samples.chips import AnyCut, Chips
from bocage.samples.coordinates import Coordinates
from bocage.samples.fixed import is_tested
from bocage.samples.purposive import is_purposive
from bocage.samples.rare import Counted
from bocage.samples.rasterise import Pixels
from bocage.samples.reference import Reference, Rejection
from bocage.samples.split import Draw, Split, Units, draw
from bocage.samples.windows import Windows
from bocage.words import Note


@dataclass(frozen=True)
class Survey:
    """Reference polygons, the legend that translates their labels, and the settings of the split."""

    reference: Reference
    legend: Legend
    split: Split


@dataclass(frozen=True)
class Samples:
    """All usable labelled pixels, as arrays (N,), and the footprints cut around them."""

    row: NDArray[np.int32]
    column: NDArray[np.int32]
    label: NDArray[np.int16]
    """Position of the class in `legend`; negative for a coarser class (``Legend.index_of``), which is never tested."""
    polygon: NDArray[np.int32]
    """Number of the polygon."""
    block: NDArray[np.int32]
    """Number of the square block (side ``[split] block``, in metres) that contains the centroid of the pixel's polygon,
    or of all polygons of its sampling unit (`ground`)."""
    legend: Legend
    """The legend without the dropped classes."""
    rejections: tuple[Rejection, ...]
    """Polygons and pixels that were rejected."""
    notes: tuple[Note, ...]
    """Notes for the user."""
    cuts: Mapping[str, AnyCut]
    """Source → footprints of the samples."""
    split: Split
    """Settings of the split."""
    fold: NDArray[np.int32] | None = None
    """Position in `folds` of every sample; None without folds."""
    folds: tuple[str, ...] = ()
    """Names of the folds."""
    place: NDArray[np.float64] | None = None
    """(N, 2) metres north and east of an arbitrary origin; None for rows of a table whose features have no CRS."""
    weight: NDArray[np.float64] | None = None
    """(N,) inclusion weight of the polygon of every sample; None if the polygons are no probability sample."""
    reserved: tuple[int, ...] = ()
    """Positions of the classes whose samples are used for training in every draw (``[split] rare`` = "train")."""
    site: NDArray[np.int16] | None = None
    """(N,) position in `sites` of every sample; None with one site. Row and column are those of the map of the site."""
    sites: tuple[str, ...] = ()
    """Names of the sites with samples."""
    trust: NDArray[np.float64] | None = None
    """(N,) probability that the label of every sample is right, for training; 0: the sample is left out of the training and the
    validation part. None: all labels are used as they are."""
    purposive: NDArray[np.bool_] | None = None
    """(N,) whether the polygon of a sample is purposive: it is used for training only. None without such a polygon."""
    ground: NDArray[np.int32] | None = None
    """(N,) number of the sampling unit of every sample, where polygons of several years or sites at one place are one unit.
    None: each polygon is a unit."""
    windows: Windows | None = None
    """Windows that contain the samples, for a training on windows; None for a training on single footprints."""
    degrees: NDArray[np.float64] | None = None
    """(N, 2) longitude and latitude (WGS 84) of the pixel centre or of the feature; None without geographic coordinates."""

    @property
    def draws(self) -> int:
        """Number of draws, or of folds."""
        return self.split.known_draws or len(self.folds)

    @property
    def untested(self) -> tuple[str, ...]:
        """Names of the classes that are mapped but never tested; empty if the split has no test part."""
        return tuple(self.legend.names[k] for k in self.reserved) if self.split.tests else ()

    def draw(self, number: int) -> Draw:
        """Return draw or fold `number`, from 0."""
        return draw(self._units, self.split, number)

    def check_draws(self) -> None:
        """Check that every draw can be made.

        Draws of polygons or pixels without a buffer have the same numbers of units, so that the first one is enough.

        Raises
        ------
        SamplesError
            One cannot.
        """
        split = self.split
        alike = self.fold is None and split.unit != "block" and not split.buffer
        for number in range(1 if alike else self.draws):
            self.draw(number)

    @property
    def testable(self) -> NDArray[np.bool_]:
        """Whether each sample can be in a test part, (N,): it has a class of the map, and nothing reserves it for training."""
        return self._units.testable(self.split)

    @property
    def group(self) -> NDArray[Any]:
        """(N,) number of the sampling unit of every sample: its polygon, block or pixel, according to the split."""
        return self._units.group(self.split)

    @property
    def cluster(self) -> NDArray[Any]:
        """(N,) number that dependent samples share: of the block where blocks are drawn, else of the polygon or place."""
        return self.block if self.split.unit == "block" else self.chips.unit

    def at(self, site: str) -> NDArray[np.bool_]:
        """Return whether each sample is at a site, (N,)."""
        return np.asarray(self.site == self.sites.index(site))

    @property
    def trains_only(self) -> NDArray[np.bool_]:
        """Whether each sample is never tested and never validates, (N,): those of coarser classes and of purposive polygons."""
        return self._units.trains_only

    @property
    def chips(self) -> Chips:
        """Footprints, labels and polygon numbers of the samples."""
        return Chips(self.cuts, self.label, self.polygon, self.site, self.trust, self.ground, self.windows)

    def pixels(self, members: NDArray[np.int64]) -> Pixels:
        """Return the samples `members` as labelled pixels of the map's grid."""
        return Pixels(self.row[members], self.column[members], self.label[members], self.polygon[members])

    @property
    def _units(self) -> Units:
        return Units(
            self.label, self.polygon, self.block, self.place, self.fold, self.reserved, self.site, self.purposive, self.ground
        )  # fmt: skip

    def without(self, members: NDArray[np.int64]) -> list[str]:
        """Return the names of the classes that are absent from the samples `members`."""
        found = np.unique(self.label[members])
        names: list[str] = np.delete(np.array(self.legend.names), found[found >= 0]).tolist()
        return names

    def test_weight(self, test: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """Return the inclusion weights of the test samples `test`, (M,); None if they are no probability sample.

        A draw selects test units at random within each class. This second selection multiplies the weight by the number of
        units of the class, over its number of test units. The test part of a field is not random.
        """
        if self.weight is None or self.split.fold or self.split.field:
            return None
        drawn = np.arange(len(self.label)) if self.purposive is None else np.flatnonzero(~self.purposive)
        units, tested = self._count_units(drawn), self._count_units(test)
        weight: NDArray[np.float64] = self.weight[test] * (units / np.maximum(tested, 1))[self.label[test]]
        return weight

    def _count_units(self, members: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of sampling units of each class among the samples `members`, (K,)."""
        finest = members[self.label[members] >= 0]
        pairs = np.unique(np.stack([self.group[finest], self.label[finest]], 1), axis=0)
        return np.bincount(pairs[:, 1], minlength=len(self.legend.classes))

    @property
    def codes_and_names(self) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
        """Code and name of the class of every sample, (N,) each: of the map, a coarser one, or a set of classes (code 0)."""
        labels, position = np.unique(self.label, return_inverse=True)
        classes = [self.legend.labelled(int(label)) for label in labels]
        return np.array([c.code for c in classes], int)[position], np.array([c.name for c in classes], str)[position]

    def count_polygons(self, index: int) -> int:
        """Return the number of usable polygons of the class at position `index`."""
        return len(np.unique(self.polygon[self.label == index]))

    def coordinates(self, ids: tuple[str, ...] | None = None) -> Coordinates:
        """Return polygons and coordinates; `ids` are the sample ids by row, if the samples are those of a table."""
        return Coordinates(self.polygon, self.degrees, None if ids is None else np.array(ids, str)[self.row])

    def save_training(self, number: int, path: Path, ids: tuple[str, ...] | None = None) -> None:
        """Write polygon and coordinates of the training and validation samples of draw `number`.

        `ids` are the sample ids by row, if the samples are those of a table.
        """
        parts = self.draw(number)
        self.coordinates(ids).take(np.sort(np.concatenate([parts.train, parts.validation, parts.beside]))).to_parquet(
            path
        )

    def to_parquet(self, path: Path, ids: tuple[str, ...] | None = None) -> None:
        """Write one row per sample: row, column, code, class, polygon, block, purposive, site, sample, longitude, latitude.

        The file is complete or absent: commands that open the run write it again, and others may read it meanwhile.
        The column ``purposive`` is missing without purposive polygons, ``site`` with one site, and ``longitude`` and ``latitude``
        without geographic coordinates. `ids` are the sample ids by row, if the samples are those of a table.
        """
        codes, names = self.codes_and_names
        more = {} if self.purposive is None else {"purposive": self.purposive}
        more |= {} if self.site is None else {"site": np.array(self.sites)[self.site]}
        more |= self.coordinates(ids).columns()
        columns = {"row": self.row, "column": self.column, "code": codes, "class": names}
        columns |= {"polygon": self.polygon, "block": self.block, **more}
        with replacing(path) as partial:
            pd.DataFrame(columns).to_parquet(partial)


@dataclass(frozen=True)
class Labelled:
    """Labelled pixels inside polygons, or labelled rows of a table."""

    pixels: Pixels
    rejections: tuple[Rejection, ...]
    notes: tuple[Note, ...]
    folds: pd.Series
    """Fold of each polygon number; empty without a fold field."""
    place: NDArray[np.float64] | None
    """(N, 2) metres north and east of an arbitrary origin; None if the features of a table have no CRS."""
    weights: pd.Series = field(default_factory=lambda: pd.Series(dtype=float))
    """Inclusion weight of each polygon number; empty without a field of weights."""
    tested: pd.Series = field(default_factory=lambda: pd.Series(dtype=bool))
    """Whether each polygon number is in the fixed test part; empty if no field fixes the parts."""
    purposive: pd.Series = field(default_factory=lambda: pd.Series(dtype=bool))
    """Whether each polygon number is purposive; empty without a field for it."""
    grid: Grid | None = None
    """Grid of the rows and columns of the pixels; None for rows of a table."""
    ground: NDArray[np.int32] | None = None
    """(N,) number of the sampling unit where samples of several polygons are at one place; None: each polygon is a unit."""
    degrees: NDArray[np.float64] | None = None
    """(N, 2) longitude and latitude (WGS 84) of the pixel centre or of the feature; None without geographic coordinates."""

    @property
    def trains_only(self) -> NDArray[np.bool_] | None:
        """Whether each pixel is in a purposive polygon, (N,); None without one."""
        return is_purposive(self.pixels.polygon, self.purposive)

    @property
    def counted(self) -> Counted:
        """The pixels, and what decides how many sampling units of each class a split can distribute."""
        return Counted(self.pixels, is_tested(self.pixels, self.tested), self.trains_only, self.ground)

    def take(self, members: NDArray[np.int64]) -> "Labelled":
        """Return the pixels at the positions `members`."""
        place = None if self.place is None else self.place[members]
        ground = None if self.ground is None else self.ground[members]
        degrees = None if self.degrees is None else self.degrees[members]
        return replace(self, pixels=self.pixels.take(members), place=place, ground=ground, degrees=degrees)

    def coordinates(self, ids: tuple[str, ...] | None) -> Coordinates:
        """Return polygons and coordinates; `ids` are the sample ids by row, if the sources are tables."""
        pixels = self.pixels
        return Coordinates(pixels.polygon, self.degrees, None if ids is None else np.array(ids, str)[pixels.row])
