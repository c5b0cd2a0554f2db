"""Calibration of confidence: the reliability curve and the expected calibration error."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Number of confidence bins, as in Guo et al. 2017 (arXiv 1706.04599)."""


@dataclass(frozen=True)
class Reliability:
    """Accuracy of predictions as a function of their confidence."""

    error: float
    """Expected calibration error, 0 to 1, lower is better: mean absolute difference between confidence and accuracy."""
    confidence: tuple[float, ...]
    """Mean confidence of each bin that contains samples, 0 to 1."""
    accuracy: tuple[float, ...]
    """Proportion of correct predictions in each of these bins, 0 to 1."""
    share: tuple[float, ...]
    """Proportion of all samples in each of these bins, 0 to 1."""

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Reliability":
        """Return the object of which ``dataclasses.asdict`` gave `record`."""
        return cls(record["error"], *(tuple(record[name]) for name in ("confidence", "accuracy", "share")))


def reliability(confidence: NDArray[Any], right: NDArray[np.bool_]) -> Reliability:
    """Return the reliability of predictions, grouped by confidence in bins of equal width.

    Parameters
    ----------
    confidence : array (N,), 0 to 1
    right : bool array (N,); True where the prediction is correct

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
