"""How often a prediction of a given confidence is right: the reliability curve and the expected calibration error."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Bins of confidence, as in Guo et al. 2017 (arXiv 1706.04599)."""


@dataclass(frozen=True)
class Reliability:
    """How often predictions of a given confidence are right."""

    error: float
    """Expected calibration error, 0 to 1: mean gap between confidence and accuracy, lower is better."""
    confidence: tuple[float, ...]
    """Mean confidence of every bin that holds a sample."""
    accuracy: tuple[float, ...]
    """Share of them that is right."""
    share: tuple[float, ...]
    """Share of all samples that falls into the bin."""

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> "Reliability":
        """Read what ``dataclasses.asdict`` made of one."""
        return cls(said["error"], *(tuple(said[name]) for name in ("confidence", "accuracy", "share")))


def reliability(confidence: NDArray[Any], right: NDArray[np.bool_]) -> Reliability:
    """Group predictions by confidence (N,), 0 to 1, in bins of equal width.

    >>> reliability(np.array([0.9, 0.9, 0.6]), np.array([True, False, True])).error
    0.4
    """
    confidence, hit = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    count, summed, hits = (np.bincount(bins, weight, BINS) for weight in (np.ones_like(confidence), confidence, hit))
    held = count > 0
    error = float(np.abs(summed - hits).sum() / max(1, len(confidence)))
    columns = (summed[held] / count[held], hits[held] / count[held], count[held] / max(1, len(confidence)))
    return Reliability(round(error, 12), *(tuple(round(float(v), 6) for v in column) for column in columns))
