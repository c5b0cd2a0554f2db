"""Split samples into training, validation and test parts, over several random draws.

A share of the polygons of each class is used for training and the rest for testing. Ienco et al. 2017
(doi:10.1109/LGRS.2017.2728698) and Gaetano et al. 2018 (doi:10.3390/rs10111746) draw 30 % of the polygons ten times.
Validation polygons, for early stopping, are taken from the training polygons; the test part is not used in training.
Neighbouring polygons are similar (spatial autocorrelation). Spatial blocks, and a buffer around the test part, separate
training from test samples (Roberts et al. 2017, doi:10.1111/ecog.02881).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from bocage.errors import SamplesError
from bocage.legend import Legend
from bocage.ranges import SEED, Range, check_ranges
from bocage.samples.rasterise import Pixels
from bocage.samples.reference import Rejection

FEWEST = 3
"""Minimum number of polygons of a class: one each for training, validation and test."""


@dataclass(frozen=True)
class Split:
    """Settings of the split into training, validation and test parts."""

    train: Annotated[float, Range(0, 1, above=True, below=True)] = 0.3
    """Share of the polygons of each class used for training, validation included, between 0 and 1."""
    draws: Annotated[int, Range(1, 10_000)] = 10
    """Number of random draws, at least 1."""
    validation: Annotated[float, Range(0, 1, above=True, below=True)] = 0.2
    """Share of the training polygons of each class used for validation (early stopping), between 0 and 1; at least one
    polygon per class."""
    seed: Annotated[int, SEED] = 0
    """Seed of the random draws; draw ``k`` uses ``(seed, k)``."""
    unit: Literal["polygon", "block", "pixel"] = "polygon"
    """Sampling unit: polygons, square blocks of the ground with all their polygons, or single pixels. With "pixel", the same
    field is used for training and test, so the accuracy is too high; use it only for comparison."""
    block: Annotated[float, Range(0, 1e7, above=True)] = 1000.0
    """Side of the blocks, in metres, above 0."""
    buffer: Annotated[float, Range(0, 1e6)] = 0.0
    """Distance to the nearest test pixel below which pixels are not used for training or validation, in metres, at least 0."""
    fold: str = ""
    """Field of the reference that contains the fold (region, year): each fold is the test part once, and the other folds are
    used for training. `train` and `draws` have no effect. Empty: random draws, or `folds`."""
    folds: Annotated[int, Range(0, 1000)] = 0
    """Number of folds for cross-validation, 2 or more: the polygons of each class are distributed over the folds, and each
    fold is the test part once; 0: random draws."""
    site: Literal["", "leave-one-out"] = ""
    """Split of a recipe with several sites: "leave-one-out" tests each site once with a model trained on the others; `train` and
    `draws` have no effect. Empty: random draws, or `folds`, within each site."""
    rare: Literal["stop", "drop"] = "stop"
    """Action for a class with fewer than 3 usable polygons: "stop" stops the run, "drop" drops the class and reports it."""

    @property
    def known_draws(self) -> int | None:
        """Number of draws or folds; None if it depends on the values of a field."""
        return None if self.fold or self.site else self.folds or self.draws

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.folds and (self.folds < 2 or self.fold):
            raise ValueError("'folds' must be at least 2, and cannot be combined with 'fold'")
        if self.site and (self.fold or self.folds):
            raise ValueError("'site' cannot be combined with 'fold' or 'folds'")
        if self.unit == "pixel" and (self.folds or self.fold or self.site):
            raise ValueError("folds are formed by polygons or blocks, not by pixels")


@dataclass(frozen=True)
class Draw:
    """Positions, in the samples, of the pixels of the training, validation and test parts."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    left_out: int = 0
    """Number of pixels excluded from training and validation: within the buffer, or in a block that the fold divides."""

    @property
    def parts(self) -> dict[str, NDArray[np.int64]]:
        """The three parts by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


@dataclass(frozen=True)
class Units:
    """Attributes of the samples that a split uses."""

    label: NDArray[Any]
    """(N,) position of the class."""
    polygon: NDArray[Any]
    """(N,) number of the polygon."""
    block: NDArray[Any]
    """(N,) number of the block."""
    place: NDArray[np.float64] | None
    """(N, 2) metres north and east of an arbitrary origin; None if the samples have no coordinates."""
    fold: NDArray[Any] | None = None
    """(N,) number of the fold in which the sample is tested; None without folds."""
    site: NDArray[Any] | None = None
    """(N,) number of the site; None with one site."""

    def strata(self, split: Split) -> NDArray[Any]:
        """Return the stratum of every sample within which sampling units are distributed, (N,).

        A stratum is a class, or a class at a site. The sites with too few units of a class form one stratum of this class.
        """
        if self.site is None:
            return self.label
        group, own = self.group(split), np.full(len(self.label), -1)
        for label, site in np.unique(np.stack([self.label, self.site], 1), axis=0):
            members = (self.label == label) & (self.site == site)
            if len(np.unique(group[members])) >= FEWEST:
                own[members] = site
        return np.unique(np.stack([self.label, own], 1), axis=0, return_inverse=True)[1].ravel()

    def group(self, split: Split) -> NDArray[Any]:
        """Return the number of the sampling unit of every sample, (N,); a split keeps each unit in one part."""
        return {"polygon": self.polygon, "block": self.block, "pixel": np.arange(len(self.label))}[split.unit]


def drop_rare(pixels: Pixels, legend: Legend, split: Split) -> tuple[NDArray[np.bool_], Legend, list[Rejection]]:
    """Check that every class has enough polygons for training, validation and test.

    Returns
    -------
    kept : (N,) bool, True for pixels of the classes that remain
    legend : the legend of the classes that remain
    rejections : the dropped classes

    Raises
    ------
    SamplesError
        A class has fewer than 3 polygons and ``rare`` is "stop", or fewer than two classes remain.
    """
    counts = {i: len(np.unique(pixels.polygon[pixels.label == i])) for i in range(len(legend.classes))}
    rare = [i for i, n in counts.items() if n < FEWEST]
    if rare and split.rare == "stop":
        listed = ", ".join(f"'{legend.names[i]}' ({counts[i]})" for i in rare)
        raise SamplesError(
            f"Too few polygons for training, validation and test (each class needs {FEWEST}): {listed}. Merge the class with "
            'another one in the legend (values = [...]), exclude it ([reference] ignore), or set [split] rare = "drop".'
        )
    names = [legend.names[i] for i in rare]
    rejections = [
        Rejection("rare", legend.names[i], counts[i], int((pixels.label == i).sum()), str(FEWEST)) for i in rare
    ]
    kept = [i for i in counts if i not in rare]
    if len(kept) < 2:
        raise SamplesError(
            f"Fewer than two classes have {FEWEST} usable polygons; a classification needs two. Add reference polygons."
        )
    return np.isin(pixels.label, kept), legend.without(names), rejections


def draw(units: Units, split: Split, number: int) -> Draw:
    """Return random draw `number`, stratified by class, or the split in which fold `number` is the test part.

    Each sampling unit is in one part only, also a unit with pixels of several classes.

    Raises
    ------
    SamplesError
        The split uses blocks or a buffer and the samples have no coordinates, there are too few blocks, or the buffer
        excludes all training pixels.
    """
    if units.place is None and (split.unit == "block" or split.buffer):
        raise SamplesError(
            "[split] block and buffer need coordinates, but the reference has no CRS or no geometry. Assign a CRS, or draw "
            "polygons without a buffer."
        )
    generator = np.random.default_rng((split.seed, number))
    strata = units.strata(split)
    if units.fold is not None:
        parts = _fold(strata, units.group(split), split, units.fold == number, generator)
    elif split.unit == "block":
        parts = _by_blocks(replace(units, label=strata), split, generator)
    else:
        parts = _by_class(strata, units.group(split), split, generator)
    return _buffered(parts, units, split)


def _by_class(label: NDArray[Any], group: NDArray[Any], split: Split, generator: np.random.Generator) -> Draw:
    """Distribute the sampling units of each class over the three parts."""

    def sizes(n: int) -> tuple[int, int, int]:
        train = max(0, min(max(2, round(split.train * n)), n - 1))
        validation = max(0, min(max(1, round(split.validation * train)), train - 1))
        return validation, train - validation, n - train

    part = _assigned(label, group, sizes, generator)
    validation, train, test = (np.flatnonzero(part == k) for k in range(3))
    return Draw(train, validation, test)


def _assigned(
    label: NDArray[Any],
    group: NDArray[Any],
    sizes: Callable[[int], tuple[int, ...]],
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Distribute sampling units over parts at random, class by class; return the part of every sample, (N,).

    `sizes` gives the number of units in each part from the number of units of a class. A unit that holds several classes is
    assigned once, with the first of them, and counts for the others.
    """
    names, unit = np.unique(group, return_inverse=True)
    part = np.full(len(names), -1)
    for one_class in np.unique(label):
        of_class = generator.permutation(np.unique(unit[label == one_class]))
        before = part[of_class][part[of_class] >= 0]
        wanted = np.array(sizes(len(of_class)))
        room = np.maximum(wanted - np.bincount(before, minlength=len(wanted)), 0)
        new = of_class[part[of_class] < 0]
        part[new] = np.repeat(np.arange(len(wanted)), room)[: len(new)]
    return part[unit]


def _by_blocks(units: Units, split: Split, generator: np.random.Generator) -> Draw:
    """Distribute whole blocks over the three parts, so that each class comes close to its share."""
    blocks, which = np.unique(units.block, return_inverse=True)
    pairs = np.unique(np.stack([which, units.label, units.polygon], 1), axis=0)
    polygons = np.zeros((len(blocks), int(units.label.max()) + 1))
    np.add.at(polygons, (pairs[:, 0], pairs[:, 1]), 1)
    training = _chosen(polygons, split.train, generator)
    validating = np.zeros(len(blocks), bool)
    validating[training] = _chosen(polygons[training], split.validation, generator)
    if not (training & ~validating).any() or training.all():
        raise SamplesError(
            f"The samples are in {len(blocks)} block(s) of {split.block:g} m, too few for training, validation and test. "
            "Reduce [split] block."
        )
    train, validation, test = (np.flatnonzero(part[which]) for part in (training & ~validating, validating, ~training))
    return Draw(train, validation, test)


def _chosen(polygons: NDArray[np.float64], share: float, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Choose blocks that contain about `share` of the polygons of every class; return (B,) bool.

    `polygons` (B, K) is the number of polygons of each class in each block. Blocks are visited in random order. A block is
    chosen if it brings the classes closer to their shares. Then, if a class is absent from the chosen or from the other
    blocks and has two blocks or more, one of its blocks is moved to that side.
    """
    wanted = np.maximum(share * polygons.sum(0), 1e-9)
    taken, chosen = np.zeros(polygons.shape[1]), np.zeros(len(polygons), bool)
    for block in generator.permutation(len(polygons)):
        gain = np.abs(wanted - taken) - np.abs(wanted - taken - polygons[block])
        if float((gain / wanted).sum()) > 0:
            chosen[block] = True
            taken += polygons[block]
    for one_class in np.argsort(polygons.sum(0)):
        holds = polygons[:, one_class] > 0
        for side in (True, False):
            if holds.sum() > 1 and not (holds & (chosen == side)).any():
                # Move the block with the fewest polygons, to change the shares of the other classes least.
                candidates = np.flatnonzero(holds)
                chosen[candidates[polygons[candidates].sum(1).argmin()]] = side
    return chosen


def _buffered(parts: Draw, units: Units, split: Split) -> Draw:
    """Exclude training and validation pixels that are within the buffer around the test pixels."""
    if not split.buffer or units.place is None or not len(parts.test):
        return parts
    tree = KDTree(units.place[parts.test])

    def far(members: NDArray[np.int64]) -> NDArray[np.int64]:
        distance = tree.query(units.place[members], distance_upper_bound=split.buffer)[0]  # type: ignore[index]
        beyond: NDArray[np.int64] = members[np.isinf(distance)]
        return beyond

    train, validation = far(parts.train), far(parts.validation)
    if not len(train):
        raise SamplesError(
            f"All training pixels are within {split.buffer:g} m of a test pixel. Reduce [split] buffer, or draw blocks "
            '(unit = "block").'
        )
    near = len(parts.train) + len(parts.validation) - len(train) - len(validation)
    return replace(parts, train=train, validation=validation, left_out=parts.left_out + near)


def _fold(
    label: NDArray[Any], group: NDArray[Any], split: Split, tested: NDArray[np.bool_], generator: np.random.Generator
) -> Draw:
    """Return the split in which the samples `tested` (N,) are the test part.

    Of the sampling units of each class in the other folds, a share is used for validation and the rest for training. Units
    that also have samples in the test part are used for neither: a field of folds can divide a block.

    Raises
    ------
    SamplesError
        All units of the other folds also have samples in the test part.
    """
    free = np.flatnonzero(~np.isin(group, group[tested]))
    if not len(free):
        raise SamplesError(
            f"All {split.unit}s with training samples also have samples of the tested fold. Reduce [split] block, or set unit = "
            '"polygon".'
        )

    def sizes(n: int) -> tuple[int, int]:
        validation = min(max(1, round(split.validation * n)), n - 1)
        return validation, n - validation

    part = _assigned(label[free], group[free], sizes, generator)
    return Draw(free[part == 1], free[part == 0], np.flatnonzero(tested), int((~tested).sum()) - len(free))


def deal(label: NDArray[Any], polygon: NDArray[Any], split: Split) -> NDArray[np.int32]:
    """Distribute polygons (or blocks) over ``split.folds`` folds, class by class; return the fold of every pixel, (N,)."""
    generator = np.random.default_rng((split.seed, split.folds))
    dealt: dict[int, int] = {}
    for one_class in np.unique(label):
        polygons = np.unique(polygon[label == one_class])
        new = generator.permutation([p for p in polygons if int(p) not in dealt])
        start = int(generator.integers(split.folds))
        dealt |= {int(p): (start + i) % split.folds for i, p in enumerate(new)}
    return np.array([dealt[int(p)] for p in polygon], np.int32)
