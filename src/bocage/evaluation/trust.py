"""Whether a score can be trusted: calibration on test pixels, accuracy against confidence, and the leakage probe.

The leakage probe looks at no image. It gives every test pixel the class of the nearest training pixel on the ground; where
that comes near the model's accuracy, the split hands out the answer, and the score proves little.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from bocage.evaluation.predictions import Predictions
from bocage.reliability import Reliability, reliability

NEAR = 0.05
"""The probe fires where the neighbour comes within this of the model's accuracy, or is better."""
COVERAGES = tuple(round(0.05 * k, 2) for k in range(1, 21))
"""Shares of the most confident pixels for which accuracy is told."""


@dataclass(frozen=True)
class Trust:
    """What is told of one draw beside its confusion matrix."""

    before: Reliability
    """On test pixels, before calibration."""
    after: Reliability
    """On test pixels, with the temperature that was fitted on validation polygons."""
    accuracy_at: tuple[float, ...]
    """Accuracy of the most confident share of the test pixels, for each of ``COVERAGES``; the last is the overall accuracy."""
    neighbour: float | None
    """Accuracy of the nearest training pixel's class; None without coordinates."""
    train_units: int
    """Polygons (or blocks, or pixels) that trained or validated."""
    test_units: int

    @property
    def leaks(self) -> bool:
        """Whether the neighbour comes within ``NEAR`` of the model."""
        return self.neighbour is not None and self.neighbour >= self.accuracy_at[-1] - NEAR

    def as_dict(self) -> dict[str, Any]:
        """What ``score.json`` holds."""
        return asdict(self) | {"leaks": self.leaks}

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> "Trust":
        """Read it again."""
        before, after = (Reliability.from_dict(said[which]) for which in ("before", "after"))
        units = said["train_units"], said["test_units"]
        return cls(before, after, tuple(said["accuracy_at"]), said["neighbour"], *units)


def trust_of(
    found: Predictions,
    learnt: NDArray[Any],
    places: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    units: tuple[int, int],
) -> Trust:
    """Measure trust on one draw.

    Parameters
    ----------
    learnt : (M,)
        Classes of the pixels that trained or validated.
    places
        Their coordinates (M, 2) and those of the test pixels (N, 2), in metres.
    units
        How many polygons (or blocks, or pixels) trained, and how many test.
    """
    right = found.right
    neighbour = None
    if places is not None and len(learnt) and len(found):
        neighbour = float((neighbours(*places, learnt) == found.label).mean())
    before, after = (reliability(c, right) for c in (found.uncalibrated, found.confidence))
    return Trust(before, after, accuracy_at(found.confidence, right), neighbour, *units)


def neighbours(train: NDArray[np.float64], test: NDArray[np.float64], label: NDArray[Any]) -> NDArray[Any]:
    """Return the class of the nearest training pixel (M, 2) of each test pixel (N, 2), by coordinates alone."""
    return np.asarray(label[KDTree(train).query(test)[1]])


def accuracy_at(
    confidence: NDArray[Any], right: NDArray[np.bool_], coverages: Sequence[float] = COVERAGES
) -> tuple[float, ...]:
    """Accuracy of the most confident share of the pixels, for each share (risk–coverage; Geifman & El-Yaniv 2017)."""
    if not len(right):
        return tuple(float("nan") for _ in coverages)
    hits = np.cumsum(right[np.argsort(-confidence, kind="stable")])
    counts = [max(1, round(share * len(right))) for share in coverages]
    return tuple(round(float(hits[n - 1] / n), 6) for n in counts)
