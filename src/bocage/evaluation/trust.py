"""Reliability of a score: calibration on test pixels, accuracy against confidence, and a test for spatial leakage.

The leakage test uses no image. It gives each test pixel the class of the nearest training pixel on the ground. If its
accuracy is close to that of the model, training and test pixels are too close to each other, and the score overestimates
the accuracy of the map.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.evaluation.predictions import Predictions
from bocage.reliability import Reliability, reliability

NEAR = 0.05
"""Leakage is reported if the accuracy of the nearest neighbour is at least the model's accuracy minus this."""
COVERAGES = tuple(round(0.05 * k, 2) for k in range(1, 21))
"""Shares of the most confident pixels for which the accuracy is computed."""


@dataclass(frozen=True)
class Trust:
    """Calibration and leakage of one draw."""

    before: Reliability
    """Reliability on test pixels before calibration."""
    after: Reliability
    """Reliability on test pixels with the temperature of the calibration."""
    accuracy_at: tuple[float, ...]
    """Accuracy of the most confident share of the test pixels, for each of ``COVERAGES``; the last is the overall accuracy."""
    neighbour: float | None
    """Accuracy of the class of the nearest training pixel; None without coordinates."""
    train_units: int
    """Number of polygons (or blocks, or pixels) used for training or validation."""
    test_units: int
    """Number of test polygons (or blocks, or pixels)."""

    @property
    def leaks(self) -> bool:
        """Whether the accuracy of the nearest neighbour is at least the model's accuracy minus ``NEAR``."""
        return self.neighbour is not None and self.neighbour >= self.accuracy_at[-1] - NEAR

    def as_dict(self) -> dict[str, Any]:
        """Return the entry of ``score.json``."""
        return asdict(self) | {"leaks": self.leaks}

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> "Trust":
        """Read an entry of ``score.json``."""
        before, after = (Reliability.from_dict(said[which]) for which in ("before", "after"))
        units = said["train_units"], said["test_units"]
        return cls(before, after, tuple(said["accuracy_at"]), said["neighbour"], *units)


def trust_of(
    found: Predictions,
    learnt: NDArray[Any],
    places: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    units: tuple[int, int],
) -> Trust:
    """Return calibration and leakage of one draw.

    Parameters
    ----------
    found
        Predictions at the N test pixels.
    learnt : (M,)
        Classes of the pixels used for training or validation.
    places
        Coordinates of those pixels (M, 2) and of the test pixels (N, 2), in metres.
    units
        Number of polygons (or blocks, or pixels) used for training or validation, and number used for the test.
    """
    right = found.right
    neighbour = None
    if places is not None and len(learnt) and len(found):
        neighbour = float((neighbours(*places, learnt) == found.label).mean())
    before, after = (reliability(c, right) for c in (found.uncalibrated, found.confidence))
    return Trust(before, after, accuracy_at(found.confidence, right), neighbour, *units)


def neighbours(train: NDArray[np.float64], test: NDArray[np.float64], label: NDArray[Any]) -> NDArray[Any]:
    """Return the class of the nearest training pixel of each test pixel (N,), from their coordinates (M, 2) and (N, 2)."""
    from scipy.spatial import KDTree  # slow to import

    return np.asarray(label[KDTree(train).query(test)[1]])


def accuracy_at(
    confidence: NDArray[Any], right: NDArray[np.bool_], coverages: Sequence[float] = COVERAGES
) -> tuple[float, ...]:
    """Return the accuracy of the most confident pixels, for each share (risk–coverage curve; Geifman & El-Yaniv 2017)."""
    if not len(right):
        return tuple(float("nan") for _ in coverages)
    hits = np.cumsum(right[np.argsort(-confidence, kind="stable")])
    counts = [max(1, round(share * len(right))) for share in coverages]
    return tuple(round(float(hits[n - 1] / n), 6) for n in counts)
