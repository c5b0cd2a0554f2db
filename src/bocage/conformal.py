"""Conformal prediction sets: the classes that a pixel may have, with a coverage that is promised for new polygons.

The score of a class is its probability: a class is in the set of a pixel if its probability reaches a threshold (Sadinle, Lei &
Wasserman 2019, doi:10.1080/01621459.2017.1395341), one threshold for each class (label-conditional; Vovk 2013,
doi:10.1007/s10994-013-5355-6) or one for all.

The pixels of a polygon are alike, so that pixels are not exchangeable; polygons are. The threshold is the one of hierarchical
conformal prediction (Lee, Barber & Willett 2023, arXiv 2306.06342): each of the n polygons has the weight 1 / (n + 1), divided
equally among its pixels, and the new polygon the weight 1 / (n + 1) at probability 0. The promise is for a random pixel of a new
polygon. It holds for any n and uses all pixels. One random pixel of each polygon (Dunn, Wasserman & Ramdas 2023,
doi:10.1080/01621459.2022.2060112) gives the same promise and depends on the draw; repeated draws guarantee only twice the error.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

By = Literal["class", "all"]
"""For what a coverage is promised: for the polygons of every class, or on average for the polygons of all classes."""
STEPS = 4096
"""Stored probabilities are rounded down to 12 significant bits, so that differences between devices do not break the promise."""
TOLERANCE = 1e-9
"""Rounding error of a sum of weights."""


@dataclass(frozen=True)
class Held:
    """Probabilities of the true class at the pixels of held-out polygons of one class."""

    polygons: int
    """Number of polygons, n; several samples at one place count once."""
    probability: tuple[float, ...]
    """Probabilities, from the highest to the lowest, 0 to 1."""
    weight: tuple[float, ...]
    """Weight of each probability; each polygon has the weight 1, divided equally among its pixels."""

    def __post_init__(self) -> None:
        values, weights = np.array(self.probability, np.float64), np.array(self.weight, np.float64)
        ordered = len(values) == len(weights) and bool((np.diff(values) < 0).all())
        if not ordered or not bool(((values >= 0) & (values <= 1)).all()):
            raise ValueError("the probabilities of held-out pixels are not decreasing numbers from 1 to 0")
        if not bool((weights > 0).all()) or not math.isclose(weights.sum(), self.polygons, abs_tol=1e-3):
            raise ValueError(f"the weights of held-out pixels are not those of {self.polygons} polygons")

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> "Held":
        """Return the probabilities of which ``dataclasses.asdict`` gave `said`.

        Raises
        ------
        ValueError
            The numbers are not those of held-out polygons.
        """
        return cls(said["polygons"], tuple(said["probability"]), tuple(said["weight"]))

    @classmethod
    def of(cls, probability: NDArray[Any], polygon: NDArray[Any]) -> "Held":
        """Return the probabilities of the true class (N,) of pixels of the polygons (N,)."""
        units, unit, pixels = np.unique(polygon, return_inverse=True, return_counts=True)
        values, which = np.unique(rounded_down(probability), return_inverse=True)
        weight = np.bincount(which, 1 / pixels[unit], len(values))
        return cls(len(units), tuple(values[::-1].tolist()), tuple(weight[::-1].tolist()))

    def least(self, coverage: float) -> float:
        """Return the least probability with which a class is in the set, for a promised coverage.

        It is 0, so that the class is in every set, if the polygons are too few for the promise: fewer than
        coverage / (1 − coverage).
        """
        reached = np.cumsum(self.weight) / (self.polygons + 1) >= coverage - TOLERANCE
        return self.probability[int(reached.argmax())] if reached.any() else 0.0


@dataclass(frozen=True)
class Conformal:
    """Held-out polygons by which prediction sets are calibrated."""

    classes: tuple[Held, ...]
    """Probabilities of each class, in the order of the legend."""
    together: Held
    """Probabilities of the pixels of all classes; a polygon with pixels of several classes is one polygon."""

    @classmethod
    def of(cls, probabilities: NDArray[Any], label: NDArray[Any], polygon: NDArray[Any]) -> "Conformal":
        """Return the calibration by the probabilities (N, K) of pixels with labels (N,), of polygons (N,)."""
        own, true = [label == k for k in range(probabilities.shape[1])], probabilities[np.arange(len(label)), label]
        return cls(tuple(Held.of(true[some], polygon[some]) for some in own), Held.of(true, polygon))

    @classmethod
    def from_dict(cls, said: Mapping[str, Any], classes: int) -> "Conformal":
        """Return the calibration that :meth:`as_dict` gave, of a model with so many classes.

        Raises
        ------
        ValueError
            The numbers are not those of a calibration, or are of another number of classes.
        """
        held = tuple(Held.from_dict(one) for one in said["classes"])
        if len(held) != classes:
            raise ValueError(f"prediction sets are calibrated for {len(held)} classes, but the model has {classes}")
        return cls(held, Held.from_dict(said["together"]))

    def as_dict(self) -> dict[str, Any]:
        """Return the calibration as JSON stores it."""
        return asdict(self)

    def least(self, coverage: float, by: By) -> tuple[float, ...]:
        """Return the least probability (K,) with which each class is in the set, for a promised coverage."""
        if by == "all":
            return (self.together.least(coverage),) * len(self.classes)
        return tuple(held.least(coverage) for held in self.classes)

    def too_few(self, coverage: float, by: By, names: Sequence[str]) -> str:
        """Return what the calibration polygons are too few for, as a sentence; empty if they suffice."""
        needed = enough_for(coverage)
        if by == "all":
            few, where = self.together.polygons < needed, f"There are {self.together.polygons} calibration polygons"
            return (
                f"{where}, and sets with a coverage of {coverage:.4g} need {needed}: every set has all classes."
                if few
                else ""
            )
        counts = {n: held.polygons for n, held in zip(names, self.classes, strict=True) if held.polygons < needed}
        if not counts:
            return ""
        listed = ", ".join(f"{name} ({count})" for name, count in counts.items())
        return (
            f"A coverage of {coverage:.4g} for each class needs {needed} calibration polygons of the class. These classes have "
            f'fewer, and are in every set: {listed}. Add polygons, promise less, or set [map] sets_by = "all".'
        )


def enough_for(coverage: float) -> int:
    """Return the least number of calibration polygons with which a coverage can be promised without a set of all classes.

    >>> enough_for(0.9), enough_for(0.95), enough_for(0.5)
    (9, 19, 1)
    """
    return math.ceil(coverage / (1 - coverage) - 1e-6)


def rounded_down(probability: NDArray[Any]) -> NDArray[np.float64]:
    """Return probabilities of any shape as they are stored: the part before the exponent in steps of 1 / 4096."""
    part, exponent = np.frexp(np.asarray(probability, np.float64))
    return np.asarray(np.ldexp(np.floor(part * STEPS) / STEPS, exponent))


def members(probabilities: NDArray[Any], least: Iterable[float]) -> NDArray[np.bool_]:
    """Return whether each class is in the set of each pixel (K, ...), from its probabilities (K, ...).

    The most probable class always is, so that no set is empty. Where the accuracy is above the promised coverage, the coverage
    is that of the most probable class, and exceeds the promise.
    """
    probabilities = np.asarray(probabilities)
    found = reached(probabilities, least)
    np.put_along_axis(found, probabilities.argmax(0)[None], True, 0)
    return found


def reached(probabilities: NDArray[Any], least: Iterable[float]) -> NDArray[np.bool_]:
    """Return whether the probability of each class (K, ...) is at least that of its threshold (K,)."""
    limits = np.array(tuple(least), np.float64).reshape(-1, *[1] * (np.ndim(probabilities) - 1))
    return np.asarray(probabilities >= limits)
