"""Metrics of a confusion matrix: functions from the matrix to one number.

Definitions follow Congalton 1991 (doi:10.1016/0034-4257(91)90048-B). A class that is neither in the reference nor in
the map takes no part in a mean over classes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.evaluation.matrix import ConfusionMatrix
from bocage.shelf import Shelf

Metric = Callable[[ConfusionMatrix], float]


def _divide(above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    """Quotient; 0 where there is nothing to divide by."""
    return np.where(below > 0, above / np.where(below > 0, below, 1), 0.0)


def producers_accuracy(matrix: ConfusionMatrix) -> NDArray[np.float64]:
    """Share of each reference class that the map finds (recall, 1 − omission): (K,), 0 to 1."""
    return _divide(matrix.right, matrix.of_reference)


def users_accuracy(matrix: ConfusionMatrix) -> NDArray[np.float64]:
    """Share of each mapped class that is right (precision, 1 − commission): (K,), 0 to 1."""
    return _divide(matrix.right, matrix.of_map)


def f1(matrix: ConfusionMatrix) -> NDArray[np.float64]:
    """Each class's F-measure, the harmonic mean of the two: (K,), 0 to 1."""
    return _divide(2 * matrix.right, matrix.of_reference + matrix.of_map)


def overall_accuracy(matrix: ConfusionMatrix) -> float:
    """Share of the pixels that agree: 0 to 1, higher is better."""
    return float(matrix.right.sum() / max(matrix.total, 1))


def f1_weighted(matrix: ConfusionMatrix) -> float:
    """Mean of the classes' F-measures weighted by their reference pixels: 0 to 1, higher is better."""
    return float((f1(matrix) * matrix.of_reference).sum() / max(matrix.total, 1))


def f1_macro(matrix: ConfusionMatrix) -> float:
    """Plain mean of the classes' F-measures: 0 to 1, higher is better."""
    there = matrix.of_reference + matrix.of_map > 0
    return float(f1(matrix)[there].mean()) if there.any() else 0.0


def kappa(matrix: ConfusionMatrix) -> float:
    """Agreement beyond chance: −1 to 1, higher is better (Cohen 1960, doi:10.1177/001316446002000104)."""
    total = max(matrix.total, 1)
    chance = float((matrix.of_reference / total) @ (matrix.of_map / total))
    return (overall_accuracy(matrix) - chance) / (1 - chance) if chance < 1 else 0.0


METRICS: Shelf[Metric] = Shelf(
    "metric",
    "metrics",
    {"overall_accuracy": overall_accuracy, "f1_weighted": f1_weighted, "f1_macro": f1_macro, "kappa": kappa},
)
