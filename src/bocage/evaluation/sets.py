"""Coverage of prediction sets, measured on the test polygons of a draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.conformal import By, Conformal, members
from bocage.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Covered:
    """Coverage and size of the sets of one draw: each is a mean over polygons of the mean over the pixels of a polygon."""

    coverage: float
    """Share of the pixels whose set has the true class, over all test polygons, 0 to 1; NaN without a test polygon."""
    size: float
    """Number of classes of a set."""
    single: float
    """Share of the pixels whose set has one class, 0 to 1."""
    per_class: NDArray[np.float64]
    """(K,) coverage of the test polygons of each class; NaN without one."""
    size_per_class: NDArray[np.float64]
    """(K,) number of classes of the sets of the test polygons of each class; NaN without one."""
    test: NDArray[np.int64]
    """(K,) number of test polygons."""
    held_out: tuple[int, ...]
    """(K,) number of calibration polygons."""
    always: tuple[bool, ...]
    """(K,) whether the class is in every set, because the calibration polygons are too few for the promise."""
    polygons: int
    """Number of test polygons; one with pixels of several classes counts once."""
    calibrated: int
    """Number of calibration polygons; one with pixels of several classes counts once."""

    @classmethod
    def of(cls, found: Predictions, least: Sequence[float], calibration: Conformal) -> "Covered":
        """Return the coverage of the sets with the least probabilities (K,) of a calibration at the test pixels."""
        sets = members(found.probabilities.T, least)
        true, sizes = sets[found.label, np.arange(len(found))], sets.sum(0)
        own = [found.label == k for k in range(len(least))]
        return cls(
            _mean(true, found.polygon), _mean(sizes, found.polygon), _mean(sizes == 1, found.polygon),
            np.array([_mean(true[some], found.polygon[some]) for some in own]),
            np.array([_mean(sizes[some], found.polygon[some]) for some in own]),
            np.array([len(np.unique(found.polygon[some])) for some in own]),
            tuple(held.polygons for held in calibration.classes), tuple(limit == 0 for limit in least),
            len(np.unique(found.polygon)), calibration.together.polygons,
        )  # fmt: skip

    def as_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the entry of a file of numbers; None for a missing value."""
        rows = zip(names, self.per_class, self.size_per_class, self.test, self.held_out, self.always, strict=True)
        return {
            "coverage": _known(self.coverage), "size": _known(self.size), "single": _known(self.single),
            "test_polygons": self.polygons, "calibration_polygons": self.calibrated,
            "per_class": {
                name: {
                    "coverage": _known(hit), "size": _known(size), "test_polygons": int(test),
                    "calibration_polygons": held, "in_every_set": always,
                }
                for name, hit, size, test, held, always in rows
            },
        }  # fmt: skip


@dataclass(frozen=True)
class Promised:
    """The promised coverage of the prediction sets of a run, and the coverage of each draw."""

    coverage: float
    """Promised coverage, between 0 and 1."""
    by: By
    draws: tuple[Covered, ...]

    def as_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the entry of a file of numbers."""
        draws = [draw.as_dict(names) for draw in self.draws]
        return {"promised": self.coverage, "by": self.by, "per_draw": draws}


def _mean(values: NDArray[Any], polygon: NDArray[Any]) -> float:
    """Return the mean over polygons of the mean of the values (N,) at the pixels of a polygon; NaN without a pixel."""
    unit = np.unique(polygon, return_inverse=True)[1]
    return float((np.bincount(unit, values) / np.bincount(unit)).mean()) if len(values) else float("nan")


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
