"""The protocol of the literature: a share of each class's polygons trains, the rest tests, over several draws.

Ienco et al. 2017 (doi:10.1109/LGRS.2017.2728698) and Gaetano et al. 2018 (doi:10.3390/rs10111746) draw 30 % of the
polygons ten times. Validation polygons, for early stopping, come out of the training ones: the test part stays
untouched.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

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
    fold: str = ""
    """Field of the reference that names folds (regions, years): each fold tests once, the others train; `train` and
    `draws` are not used then."""
    folds: int = 0
    """Deal the polygons of each class into this many folds, 2 or more, each of which tests once; 0: draws."""
    rare: Literal["stop", "drop"] = "stop"
    """A class with fewer than 3 usable polygons: stop the run, or drop the class (the report says so)."""

    def __post_init__(self) -> None:
        for field in ("train", "validation"):
            if not 0 < getattr(self, field) < 1:
                raise ValueError(f"'{field}' is a share between 0 and 1; found {getattr(self, field)}")
        if self.folds and (self.folds < 2 or self.fold):
            raise ValueError("'folds' is at least 2, and stands instead of 'fold'")
        if self.draws < 1:
            raise ValueError(f"'draws' is at least 1; found {self.draws}")


@dataclass(frozen=True)
class Draw:
    """Positions, in the samples, of the pixels of each part."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


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
        Rejection(
            f"class with fewer than {FEWEST} polygons", legend.names[i], counts[i], int((pixels.label == i).sum())
        )
        for i in rare
    ]
    kept = [i for i in counts if i not in rare]
    if len(kept) < 2:
        raise SamplesError(f"Fewer than two classes have {FEWEST} usable polygons; there is nothing to tell apart.")
    return np.isin(pixels.label, kept), legend.without(names), rejections


def draw(
    label: NDArray[Any], polygon: NDArray[Any], split: Split, number: int, fold: NDArray[Any] | None = None
) -> Draw:
    """Return draw `number` of the polygons, stratified by class; with `fold` (N,), the number of the fold that tests.

    A polygon id that carries two classes is shared out as two polygons.
    """
    generator = np.random.default_rng((split.seed, number))
    if fold is not None:
        return _fold(label, polygon, split, fold == number, generator)
    parts: dict[str, list[NDArray[np.int64]]] = {"train": [], "validation": [], "test": []}
    for one_class in np.unique(label):
        of_class = np.flatnonzero(label == one_class)
        polygons = generator.permutation(np.unique(polygon[of_class]))
        n = len(polygons)
        n_train = min(max(2, round(split.train * n)), n - 1)
        n_validation = min(max(1, round(split.validation * n_train)), n_train - 1)
        groups = {
            "validation": polygons[:n_validation],
            "train": polygons[n_validation:n_train],
            "test": polygons[n_train:],
        }
        for part, chosen in groups.items():
            parts[part].append(of_class[np.isin(polygon[of_class], chosen)])
    return Draw(**{part: np.sort(np.concatenate(found)) for part, found in parts.items()})


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
    return Draw(*(np.sort(part) for part in parts))


def deal(label: NDArray[Any], polygon: NDArray[Any], split: Split) -> NDArray[np.int32]:
    """Deal polygons into ``split.folds`` folds, class by class; return the fold of every pixel (N,)."""
    generator = np.random.default_rng((split.seed, split.folds))
    dealt: dict[int, int] = {}
    for one_class in np.unique(label):
        polygons = np.unique(polygon[label == one_class])
        new = generator.permutation([p for p in polygons if int(p) not in dealt])
        start = int(generator.integers(split.folds))
        dealt |= {int(p): (start + i) % split.folds for i, p in enumerate(new)}
    return np.array([dealt[int(p)] for p in polygon], np.int32)
