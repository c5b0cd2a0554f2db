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
    rare: Literal["stop", "drop"] = "stop"
    """A class with fewer than 3 usable polygons: stop the run, or drop the class (the report says so)."""

    def __post_init__(self) -> None:
        for field in ("train", "validation"):
            if not 0 < getattr(self, field) < 1:
                raise ValueError(f"'{field}' is a share between 0 and 1; found {getattr(self, field)}")
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


def draw(label: NDArray[Any], polygon: NDArray[Any], split: Split, number: int) -> Draw:
    """Return draw `number` of the polygons, stratified by class.

    A polygon id that carries two classes is shared out as two polygons.
    """
    generator = np.random.default_rng((split.seed, number))
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
