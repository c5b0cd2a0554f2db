"""The protocol of the literature: a share of each class's polygons trains, the rest tests, over several draws.

Ienco et al. 2017 (doi:10.1109/LGRS.2017.2728698) and Gaetano et al. 2018 (doi:10.3390/rs10111746) draw 30 % of the
polygons ten times. Validation polygons, for early stopping, come out of the training ones: the test part stays
untouched. Neighbouring polygons resemble each other; blocks of the ground, and a buffer around the test part, keep them on
one side (Roberts et al. 2017, doi:10.1111/ecog.02881).
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from bocage.errors import SamplesError
from bocage.legend import Legend
from bocage.samples.rasterise import Pixels
from bocage.samples.reference import Rejection

FEWEST = 3
"""Polygons that a class needs: one to train, one to validate, one to test."""


@dataclass(frozen=True)
class Split:
    """How polygons are shared out."""

    train: float = 0.3
    """Share of each class's polygons that trains (validation included), between 0 and 1."""
    draws: int = 10
    """Number of random draws, at least 1."""
    validation: float = 0.2
    """Share of the training polygons of each class that decides when to stop, between 0 and 1; at least one polygon."""
    seed: int = 0
    """Draw ``k`` is seeded by ``(seed, k)``."""
    unit: Literal["polygon", "block", "pixel"] = "polygon"
    """What is drawn: polygons, square blocks of the ground with every polygon in them, or single pixels: the same field then
    trains and tests, which proves nothing and is there to be compared with."""
    block: float = 1000.0
    """Metres a side of the blocks, above 0."""
    buffer: float = 0.0
    """Metres around the test pixels within which no pixel trains or validates, at least 0."""
    fold: str = ""
    """Field of the reference that names folds (regions, years): each fold tests once, the others train; `train` and
    `draws` are not used then."""
    folds: int = 0
    """Deal the polygons of each class into this many folds, 2 or more, each of which tests once; 0: draws."""
    rare: Literal["stop", "drop"] = "stop"
    """A class with fewer than 3 usable polygons: stop the run, or drop the class (the report says so)."""

    @property
    def known_draws(self) -> int | None:
        """Number of draws or folds, where it does not depend on the values of a field."""
        return None if self.fold else self.folds or self.draws

    def __post_init__(self) -> None:
        for field in ("train", "validation"):
            if not 0 < getattr(self, field) < 1:
                raise ValueError(f"'{field}' is a share between 0 and 1; found {getattr(self, field)}")
        if self.folds and (self.folds < 2 or self.fold):
            raise ValueError("'folds' is at least 2, and stands instead of 'fold'")
        if self.block <= 0 or self.buffer < 0:
            raise ValueError(f"'block' is above 0 and 'buffer' at least 0 metres; found {self.block} and {self.buffer}")
        if self.unit == "pixel" and (self.folds or self.fold):
            raise ValueError("folds are dealt by polygons or blocks, not by pixels")
        if self.draws < 1:
            raise ValueError(f"'draws' is at least 1; found {self.draws}")


@dataclass(frozen=True)
class Draw:
    """Positions, in the samples, of the pixels of each part."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    left_out: int = 0
    """Pixels that neither train nor validate because they lie within the buffer."""

    @property
    def parts(self) -> dict[str, NDArray[np.int64]]:
        """The three parts by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


@dataclass(frozen=True)
class Units:
    """Where samples are, for whoever draws them."""

    label: NDArray[Any]
    """(N,) position of the class."""
    polygon: NDArray[Any]
    block: NDArray[Any]
    place: NDArray[np.float64] | None
    """(N, 2) metres north and east of anywhere; None where the samples have no coordinates."""
    fold: NDArray[Any] | None = None
    """(N,) number of the fold that each is tested in."""

    def group(self, split: Split) -> NDArray[Any]:
        """What may not be torn apart: (N,) numbers."""
        return {"polygon": self.polygon, "block": self.block, "pixel": np.arange(len(self.label))}[split.unit]


def drop_rare(pixels: Pixels, legend: Legend, split: Split) -> tuple[NDArray[np.bool_], Legend, list[Rejection]]:
    """Make sure that every class can be trained, validated and tested.

    Returns
    -------
    kept : (N,) bool, pixels of the classes that remain
    legend : those classes
    rejections : the classes dropped

    Raises
    ------
    SamplesError
        A class has too few polygons and ``rare`` is "stop", or fewer than two classes remain.
    """
    counts = {i: len(np.unique(pixels.polygon[pixels.label == i])) for i in range(len(legend.classes))}
    rare = [i for i, n in counts.items() if n < FEWEST]
    if rare and split.rare == "stop":
        listed = ", ".join(f"'{legend.names[i]}' ({counts[i]})" for i in rare)
        raise SamplesError(
            f"Too few polygons to train, validate and test (each class needs {FEWEST}): {listed}. Merge the class with "
            'another in the legend (values = [...]), leave it out ([reference] ignore), or set [split] rare = "drop".'
        )
    names = [legend.names[i] for i in rare]
    rejections = [
        Rejection("rare", legend.names[i], counts[i], int((pixels.label == i).sum()), str(FEWEST)) for i in rare
    ]
    kept = [i for i in counts if i not in rare]
    if len(kept) < 2:
        raise SamplesError(f"Fewer than two classes have {FEWEST} usable polygons; there is nothing to tell apart.")
    return np.isin(pixels.label, kept), legend.without(names), rejections


def draw(units: Units, split: Split, number: int) -> Draw:
    """Return draw `number`, stratified by class, or the fold of that number.

    A polygon id that carries two classes is shared out as two polygons.

    Raises
    ------
    SamplesError
        Blocks or buffers of samples without coordinates, or a buffer that leaves nothing to train on.
    """
    if units.place is None and (split.unit == "block" or split.buffer):
        raise SamplesError("[split] block and buffer need coordinates; the reference has no CRS or no geometry.")
    generator = np.random.default_rng((split.seed, number))
    if units.fold is not None:
        found = _fold(units.label, units.group(split), split, units.fold == number, generator)
    elif split.unit == "block":
        found = _by_blocks(units, split, generator)
    else:
        found = _by_class(units.label, units.group(split), split, generator)
    return _apart(found, units, split)


def _by_class(label: NDArray[Any], group: NDArray[Any], split: Split, generator: np.random.Generator) -> Draw:
    """Share out each class's groups."""
    parts: dict[str, list[NDArray[np.int64]]] = {"train": [], "validation": [], "test": []}
    for one_class in np.unique(label):
        of_class = np.flatnonzero(label == one_class)
        groups = generator.permutation(np.unique(group[of_class]))
        n = len(groups)
        n_train = min(max(2, round(split.train * n)), n - 1)
        n_validation = min(max(1, round(split.validation * n_train)), n_train - 1)
        chosen = {
            "validation": groups[:n_validation],
            "train": groups[n_validation:n_train],
            "test": groups[n_train:],
        }
        for part, some in chosen.items():
            parts[part].append(of_class[np.isin(group[of_class], some)])
    train, validation, test = (np.sort(np.concatenate(parts[part])) for part in ("train", "validation", "test"))
    return Draw(train, validation, test)


def _by_blocks(units: Units, split: Split, generator: np.random.Generator) -> Draw:
    """Share out blocks, whatever classes they hold, as near to the shares of every class as they allow."""
    blocks, which = np.unique(units.block, return_inverse=True)
    pairs = np.unique(np.stack([which, units.label, units.polygon], 1), axis=0)
    polygons = np.zeros((len(blocks), int(units.label.max()) + 1))
    np.add.at(polygons, (pairs[:, 0], pairs[:, 1]), 1)
    learns = _chosen(polygons, split.train, generator)
    checks = np.zeros(len(blocks), bool)
    checks[learns] = _chosen(polygons[learns], split.validation, generator)
    if not (learns & ~checks).any() or learns.all():
        raise SamplesError(
            f"The samples lie in {len(blocks)} block(s) of {split.block:g} m, too few to train, validate and test; make "
            "[split] block smaller."
        )
    train, validation, test = (np.flatnonzero(part[which]) for part in (learns & ~checks, checks, ~learns))
    return Draw(train, validation, test)


def _chosen(polygons: NDArray[np.float64], share: float, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Choose blocks (B, K polygons of each class) that hold about `share` of every class: (B,) bool.

    In random order, a block is taken if that brings the classes nearer to their share. Then a class of which one side has
    none gets one block there, if it has two.
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
                # the block that matters least to the other classes
                candidates = np.flatnonzero(holds)
                chosen[candidates[polygons[candidates].sum(1).argmin()]] = side
    return chosen


def _apart(found: Draw, units: Units, split: Split) -> Draw:
    """Leave out what lies within the buffer around the test pixels."""
    if not split.buffer or units.place is None or not len(found.test):
        return found
    tree = KDTree(units.place[found.test])

    def far(members: NDArray[np.int64]) -> NDArray[np.int64]:
        distance = tree.query(units.place[members], distance_upper_bound=split.buffer)[0]  # type: ignore[index]
        beyond: NDArray[np.int64] = members[np.isinf(distance)]
        return beyond

    train, validation = far(found.train), far(found.validation)
    if not len(train):
        raise SamplesError(
            f"No training pixel lies {split.buffer:g} m or more from every test pixel; make [split] buffer smaller, or draw "
            'blocks (unit = "block").'
        )
    left_out = len(found.train) + len(found.validation) - len(train) - len(validation)
    return replace(found, train=train, validation=validation, left_out=left_out)


def _fold(
    label: NDArray[Any], polygon: NDArray[Any], split: Split, tested: NDArray[np.bool_], generator: np.random.Generator
) -> Draw:
    """One fold tests; of each class's polygons in the others, a share validates and the rest trains."""
    train, validation = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for one_class in np.unique(label[~tested]):
        of_class = np.flatnonzero((label == one_class) & ~tested)
        polygons = generator.permutation(np.unique(polygon[of_class]))
        n = min(max(1, round(split.validation * len(polygons))), len(polygons) - 1)
        checks = np.isin(polygon[of_class], polygons[:n])
        validation.append(of_class[checks])
        train.append(of_class[~checks])
    parts = (np.concatenate(train), np.concatenate(validation), np.flatnonzero(tested))
    return Draw(*(np.sort(part) for part in parts))  # type: ignore[arg-type]


def deal(label: NDArray[Any], polygon: NDArray[Any], split: Split) -> NDArray[np.int32]:
    """Deal polygons (or blocks) into ``split.folds`` folds, class by class; return the fold of every pixel (N,)."""
    generator = np.random.default_rng((split.seed, split.folds))
    dealt: dict[int, int] = {}
    for one_class in np.unique(label):
        polygons = np.unique(polygon[label == one_class])
        new = generator.permutation([p for p in polygons if int(p) not in dealt])
        start = int(generator.integers(split.folds))
        dealt |= {int(p): (start + i) % split.folds for i, p in enumerate(new)}
    return np.array([dealt[int(p)] for p in polygon], np.int32)
