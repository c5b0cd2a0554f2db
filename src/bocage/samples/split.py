"""Split samples into training, validation and test parts, over several random draws.

A share of the polygons of each class is used for training and the rest for testing. Ienco et al. 2017
(doi:10.1109/LGRS.2017.2728698) and Gaetano et al. 2018 (doi:10.3390/rs10111746) draw 30 % of the polygons ten times.
Validation polygons, for early stopping and calibration, are taken from the training polygons; the test part is not used in
training. A field of the reference can fix the training and the test part. Without a test part, all polygons are used for
training.
Neighbouring polygons are similar (spatial autocorrelation). Spatial blocks, and a buffer around the test part, separate
training from test samples (Roberts et al. 2017, doi:10.1111/ecog.02881).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SamplesError
from bocage.legend import plain
from bocage.ranges import SEED, VALUE, Range, check_ranges
from bocage.samples.blocks import choose_blocks

FEWEST = 3
"""Minimum number of polygons of a class: one each for training, validation and test."""


@dataclass(frozen=True)
class Split:
    """Settings of the split into training, validation and test parts."""

    train: Annotated[float | tuple[int | str, ...], Range(0, 1, above=True, alone=True)] = 0.3
    """Share of the polygons of each class used for training, validation included, above 0 and at most 1; or the list of values
    of `field` whose polygons are used for training. With 1, all polygons are used for training, and the accuracy of the map is
    not measured; `draws` must then be 1."""
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
    test: Annotated[tuple[int | str, ...], VALUE] = ()
    """Values of `field` whose polygons are the test part. Polygons with a value that is neither in `train` nor in `test` are not
    used and are counted."""
    field: str = ""
    """Field of the reference that fixes the training and the test part by the lists `train` and `test`. There is one draw;
    `draws` has no effect. Empty: random draws, `folds` or `fold`."""
    rare: Literal["stop", "drop", "train"] = "stop"
    """Action for a class with fewer than 3 usable polygons, of which those at one place count once: "stop" stops the run, "drop"
    drops the class and reports it, "train" uses all its polygons for training in every draw: the class is mapped, but its
    accuracy is not measured. With `field`, a class needs a training polygon and a test polygon instead of 3 polygons; without a
    test part, it needs one polygon."""

    @property
    def known_draws(self) -> int | None:
        """Number of draws or folds; None if it depends on the values of a field."""
        return None if self.fold or self.site else 1 if self.field else self.folds or self.draws

    @property
    def tests(self) -> bool:
        """Whether the split has a test part."""
        return bool(self.fold or self.folds or self.site) or self.train != 1

    @property
    def fewest(self) -> int:
        """Minimum number of polygons of a class, unless a field fixes the parts."""
        return FEWEST if self.tests else 1

    @property
    def share(self) -> float:
        """Share of the polygons used for training; only for random draws."""
        assert not isinstance(self.train, tuple)
        return self.train

    @property
    def fixed(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Values of `field` of the training and of the test part, as texts; both empty if the parts are not fixed."""
        training = self.train if isinstance(self.train, tuple) else ()
        return tuple(map(plain, training)), tuple(map(plain, self.test))

    def __post_init__(self) -> None:
        check_ranges(self)
        self._check_fixed()
        if not self.tests and self.draws != 1:
            raise ValueError(
                f"'train' = 1 uses all polygons for training, so all draws are the same: set 'draws' = 1 (now {self.draws})"
            )
        if self.folds and (self.folds < 2 or self.fold):
            raise ValueError("'folds' must be at least 2, and cannot be combined with 'fold'")
        if self.site and (self.fold or self.folds):
            raise ValueError("'site' cannot be combined with 'fold' or 'folds'")
        if self.unit == "pixel" and (self.folds or self.fold or self.site):
            raise ValueError("folds are formed by polygons or blocks, not by pixels")

    def _check_fixed(self) -> None:
        """Check the settings of a fixed test part."""
        training, test = self.fixed
        if not self.field and (isinstance(self.train, tuple) or test):
            raise ValueError(
                "lists of values for 'train' and 'test' need 'field', the field of the reference with these values"
            )
        if not self.field:
            return
        if self.fold or self.folds or self.unit == "pixel":
            raise ValueError(
                "'field' fixes the test part: it cannot be combined with 'fold', 'folds' or unit = \"pixel\""
            )
        for name, values in (("train", training), ("test", test)):
            if not values or "" in values:
                raise ValueError(
                    f"with 'field', '{name}' must be a list of values of this field, for example {name} = [\"{name}\"]"
                )
        if both := sorted(set(training) & set(test)):
            raise ValueError(
                f"{', '.join(map(repr, both))} is in 'train' and in 'test'; a test part shares no value with training"
            )


@dataclass(frozen=True)
class Draw:
    """Positions, in the samples, of the pixels of the training, validation and test parts."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    left_out: int = 0
    """Number of pixels in no part: within the buffer, or held out with the unit in which they are."""
    beside: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Those in no part that never validate, and whose unit validates: they train if the validation part trains."""

    @property
    def whole(self) -> "Draw":
        """The draw for a training without validation: the validation part trains, with what is beside it."""
        train = np.sort(np.concatenate([self.train, self.validation, self.beside]))
        none = self.beside[:0]
        return Draw(train, none, self.test, self.left_out - len(self.beside))

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
    """(N,) number of the fold in which the sample is tested, -1 for none; None without folds."""
    reserved: tuple[int, ...] = ()
    """Positions of the classes whose samples are used for training in every draw."""
    site: NDArray[Any] | None = None
    """(N,) number of the site; None with one site."""
    purposive: NDArray[np.bool_] | None = None
    """(N,) whether the polygon is purposive, and used for training only; None without such a polygon."""
    ground: NDArray[Any] | None = None
    """(N,) number of the sampling unit, where polygons of several sites at one place are one unit; None: each polygon is one."""

    @property
    def trains_only(self) -> NDArray[np.bool_]:
        """Whether each sample is never tested and never validates, (N,): those of coarser classes and of purposive polygons."""
        return np.asarray(self.label < 0 if self.purposive is None else (self.label < 0) | self.purposive)

    def testable(self, split: Split) -> NDArray[np.bool_]:
        """Return whether each sample can be in a test part, (N,): its unit is not reserved, and it does not train only."""
        return np.asarray(~self.trains_only & ~_reserved(self, split))

    def take(self, index: NDArray[np.int64]) -> "Units":
        """Return the attributes of the samples at the positions `index`."""
        place = None if self.place is None else self.place[index]
        purposive = None if self.purposive is None else self.purposive[index]
        fold, site, ground = (
            None if values is None else values[index] for values in (self.fold, self.site, self.ground)
        )
        parts = (self.label[index], self.polygon[index], self.block[index])
        return Units(*parts, place, fold, self.reserved, site, purposive, ground)

    def strata(self, split: Split) -> NDArray[Any]:
        """Return the stratum of every sample within which sampling units are distributed, (N,).

        A stratum is a class, or a class at a site. The sites with too few units of a class form one stratum of this class; if
        these units are too few together, they are in the stratum of the site with most units of the class.
        """
        if self.site is None:
            return self.label
        group, own = self.group(split), np.full(len(self.label), -1)
        for label in np.unique(self.label):
            of_class = self.label == label
            units = {
                site: len(np.unique(group[of_class & (self.site == site)])) for site in np.unique(self.site[of_class])
            }
            large = [site for site, n in units.items() if n >= FEWEST]
            rest = of_class & ~np.isin(self.site, large)
            own[of_class & ~rest] = self.site[of_class & ~rest]
            if large and len(np.unique(group[rest])) < FEWEST:
                own[rest] = max(large, key=units.__getitem__)
        return np.unique(np.stack([self.label, own], 1), axis=0, return_inverse=True)[1].ravel()

    def group(self, split: Split) -> NDArray[Any]:
        """Return the number of the sampling unit of every sample, (N,); a split keeps each unit in one part."""
        if split.unit == "pixel":
            return np.arange(len(self.label))
        if split.unit == "block":
            return self.block
        return self.polygon if self.ground is None else self.ground


def draw(units: Units, split: Split, number: int) -> Draw:
    """Return random draw `number`, stratified by class, or the split in which fold `number` is the test part.

    Each sampling unit is in one part only, also a unit with pixels of several classes. Units with a reserved class are used
    for training. Samples of purposive polygons and of coarser classes are used for training if no part of their unit is held
    out.

    Raises
    ------
    SamplesError
        The split uses blocks or a buffer and the samples have no coordinates, there are too few blocks, the buffer excludes
        all training pixels, or the test part is empty.
    """
    if units.place is None and (split.unit == "block" or split.buffer):
        raise SamplesError(
            "[split] block and buffer need coordinates, but the reference has no CRS or no geometry. Assign a CRS, or draw "
            "polygons without a buffer."
        )
    reserved = _reserved(units, split)
    alone = units.trains_only
    rest = np.flatnonzero(~reserved & ~alone)
    parts = _drawn(units.take(rest), split, number, np.random.default_rng((split.seed, number)))
    held = np.concatenate([rest[parts.validation], rest[parts.test]])
    free = reserved | alone & _apart(units, split, number, held)
    beside = alone & ~free & _apart(units, split, number, rest[parts.test])
    train = np.sort(np.concatenate([rest[parts.train], np.flatnonzero(free)]))
    left_out = parts.left_out + int((alone & ~free).sum())
    parts = Draw(train, rest[parts.validation], rest[parts.test], left_out, np.flatnonzero(beside))
    if split.tests and not len(parts.test):
        why = (
            f"there are fewer {split.unit}s that can be tested than folds. Reduce [split] folds"
            if split.folds
            else "its test polygons are masked, or of classes that are used for training only. Check [split]"
        )
        raise SamplesError(
            f"Draw {number + 1} has no test pixel: {why}, or set train = 1 and draws = 1 to make a map without a test."
        )
    return _buffered(parts, units, split)


def _apart(units: Units, split: Split, number: int, held: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each sample may train: its unit has no sample in `held`, and it is not of the tested fold, (N,)."""
    group = units.group(split)
    tested = np.zeros(len(group), bool) if units.fold is None else units.fold == number
    return np.asarray(~np.isin(group, group[held]) & ~tested)


def _reserved(units: Units, split: Split) -> NDArray[np.bool_]:
    """Return whether the sampling unit of each sample has a reserved class, (N,); a unit of a fixed test part is not reserved."""
    group = units.group(split)
    reserved: NDArray[np.bool_] = np.isin(group, group[np.isin(units.label, units.reserved)])
    if split.field and units.fold is not None:
        reserved &= ~np.isin(group, group[units.fold == 0])
    return reserved


def _drawn(units: Units, split: Split, number: int, generator: np.random.Generator) -> Draw:
    """Distribute the samples over the three parts; no class validates without training samples."""
    group, strata = units.group(split), units.strata(split)
    if units.fold is not None or not split.tests:
        tested = np.zeros(len(group), bool) if units.fold is None else units.fold == number
        return _taught(_fold(strata, group, split, tested, generator), units.label, group)
    if split.unit == "block":
        return _by_blocks(replace(units, label=strata), split, generator)
    return _taught(_by_class(strata, group, split, generator), units.label, group)


def _taught(parts: Draw, label: NDArray[Any], group: NDArray[Any]) -> Draw:
    """Return parts in which each class of the validation part has training samples; its units return to training if necessary.

    Where each unit has one class, nothing returns: a class validates with all its units but one, at most.
    """
    train, validation = parts.train, parts.validation
    while len(lost := np.setdiff1d(label[validation], label[train])):

        def cost(unit: Any, lost: NDArray[Any] = lost, held: NDArray[np.int64] = validation) -> tuple[int, int]:
            """Classes that the validation part keeps without training samples or loses, and samples of the unit."""
            back, rest = held[group[held] == unit], held[group[held] != unit]
            still, gone = np.setdiff1d(lost, label[back]), np.setdiff1d(label[back], label[rest])
            return len(still) + len(gone), len(back)

        unit = min(np.unique(group[validation[np.isin(label[validation], lost)]]), key=cost)
        back = group[validation] == unit
        train, validation = np.sort(np.concatenate([train, validation[back]])), validation[~back]
    return replace(parts, train=train, validation=validation)


def _by_class(label: NDArray[Any], group: NDArray[Any], split: Split, generator: np.random.Generator) -> Draw:
    """Distribute the sampling units of each class over the three parts."""

    def sizes(n: int) -> tuple[int, int, int]:
        train = max(0, min(max(2, round(split.share * n)), n - 1))
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
    polygons = np.zeros((len(blocks), int(units.label.max(initial=0)) + 1))
    np.add.at(polygons, (pairs[:, 0], pairs[:, 1]), 1)
    training = choose_blocks(polygons, split.share, generator)
    validating = np.zeros(len(blocks), bool)
    validating[training] = choose_blocks(polygons[training], split.validation, generator, validation=True)
    if not (training & ~validating).any() or training.all():
        raise SamplesError(
            f"The samples are in {len(blocks)} block(s) of {split.block:g} m, too few for training, validation and test. "
            "Reduce [split] block."
        )
    train, validation, test = (np.flatnonzero(part[which]) for part in (training & ~validating, validating, ~training))
    return Draw(train, validation, test)


def _buffered(parts: Draw, units: Units, split: Split) -> Draw:
    """Exclude training and validation pixels that are within the buffer around the test pixels."""
    if not split.buffer or units.place is None or not len(parts.test):
        return parts
    from scipy.spatial import KDTree  # slow to import

    tree = KDTree(units.place[parts.test])

    def far(members: NDArray[np.int64]) -> NDArray[np.int64]:
        distance = tree.query(units.place[members], distance_upper_bound=split.buffer)[0]  # type: ignore[index]
        beyond: NDArray[np.int64] = members[np.isinf(distance)]
        return beyond

    train, validation, beside = far(parts.train), far(parts.validation), far(parts.beside)
    if not len(train):
        raise SamplesError(
            f"All training pixels are within {split.buffer:g} m of a test pixel. Reduce [split] buffer, or draw blocks "
            '(unit = "block").'
        )
    near = len(parts.train) + len(parts.validation) - len(train) - len(validation)
    return replace(parts, train=train, validation=validation, left_out=parts.left_out + near, beside=beside)


def _fold(
    label: NDArray[Any], group: NDArray[Any], split: Split, tested: NDArray[np.bool_], generator: np.random.Generator
) -> Draw:
    """Return the split in which the samples `tested` (N,), perhaps none, are the test part.

    Of the other sampling units of each class, a share is used for validation and the rest for training. Units
    that also have samples in the test part are used for neither: a field of folds can divide a block.

    Raises
    ------
    SamplesError
        All other units also have samples in the test part.
    """
    free = np.flatnonzero(~np.isin(group, group[tested]))
    if not len(free) and tested.any():
        raise SamplesError(
            f"All {split.unit}s with training samples also have samples of the test part. Reduce [split] block, or set unit = "
            '"polygon".'
        )

    def sizes(n: int) -> tuple[int, int]:
        validation = min(max(1, round(split.validation * n)), n - 1)
        return validation, n - validation

    part = _assigned(label[free], group[free], sizes, generator)
    return Draw(free[part == 1], free[part == 0], np.flatnonzero(tested), int((~tested).sum()) - len(free))


def deal(
    label: NDArray[Any], polygon: NDArray[Any], split: Split, tested: NDArray[np.bool_] | None = None
) -> NDArray[np.int32]:
    """Distribute polygons (or blocks) over ``split.folds`` folds, class by class; return the fold of every pixel, (N,).

    Each class begins at a random fold. If a fold is then without a sample of `tested` (N,), those that can be tested, each class
    begins after the end of the one before.
    """
    fold = _dealt(label, polygon, split, in_turn=False)
    if tested is None or len(np.unique(fold[tested])) == split.folds:
        return fold
    last = (
        np.int64(label.max(initial=0)) - label.min(initial=0) + 1
    )  # classes that are not tested come after the others
    return _dealt(np.where(tested, label, label + last), polygon, split, in_turn=True)


def _dealt(label: NDArray[Any], polygon: NDArray[Any], split: Split, in_turn: bool) -> NDArray[np.int32]:
    generator = np.random.default_rng((split.seed, split.folds))
    dealt: dict[int, int] = {}
    for one_class in np.unique(label):
        polygons = np.unique(polygon[label == one_class])
        new = generator.permutation([p for p in polygons if int(p) not in dealt])
        start = len(dealt) if in_turn else int(generator.integers(split.folds))
        dealt |= {int(p): (start + i) % split.folds for i, p in enumerate(new)}
    return np.array([dealt[int(p)] for p in polygon], np.int32)
