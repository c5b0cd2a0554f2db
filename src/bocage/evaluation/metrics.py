"""Metrics of a confusion matrix: functions from the matrix to one number, or to one for each class.

Definitions follow Congalton 1991 (doi:10.1016/0034-4257(91)90048-B). Where there is nothing to divide by, the value is nan,
never 0: user's accuracy of a class that is not mapped, producer's accuracy of one that is not in the reference,
everything of one that is in neither. A mean over classes runs over those that have a value.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.evaluation.matrix import ConfusionMatrix
from bocage.shelf import Shelf

Metric = Callable[[ConfusionMatrix], float]


def _divide(above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    """Quotient; nan where there is nothing to divide by."""
    return np.where(below > 0, above / np.where(below > 0, below, 1), np.nan)


def mean_of(values: NDArray[np.float64]) -> float:
    """Mean of the values that are numbers; nan if none is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def producers_accuracy(matrix: ConfusionMatrix) -> NDArray[np.float64]:
    """Share of each reference class that the map finds (recall, 1 − omission): (K,), 0 to 1."""
    return _divide(matrix.right, matrix.of_reference)


def users_accuracy(matrix: ConfusionMatrix) -> NDArray[np.float64]:
    """Share of each mapped class that is right (precision, 1 − commission): (K,), 0 to 1."""
    return _divide(matrix.right, matrix.of_map)


def f1(matrix: ConfusionMatrix) -> NDArray[np.float64]:
    """Each class's F-measure, the harmonic mean of the two: (K,), 0 to 1."""
    return _divide(2 * matrix.right, matrix.of_reference + matrix.of_map)


def intersection_over_union(matrix: ConfusionMatrix) -> NDArray[np.float64]:
    """Each class's overlap of map and reference over what either holds (Jaccard): (K,), 0 to 1."""
    return _divide(matrix.right, matrix.of_reference + matrix.of_map - matrix.right)


def overall_accuracy(matrix: ConfusionMatrix) -> float:
    """Share of the pixels that agree: 0 to 1, higher is better."""
    return float(matrix.right.sum() / matrix.total) if matrix.total else float("nan")


def f1_weighted(matrix: ConfusionMatrix) -> float:
    """Mean of the classes' F-measures weighted by their reference pixels: 0 to 1, higher is better."""
    weight = matrix.of_reference
    return float((f1(matrix)[weight > 0] * weight[weight > 0]).sum() / matrix.total) if matrix.total else float("nan")


def f1_macro(matrix: ConfusionMatrix) -> float:
    """Plain mean of the classes' F-measures: 0 to 1, higher is better."""
    return mean_of(f1(matrix))


def iou_macro(matrix: ConfusionMatrix) -> float:
    """Plain mean of the classes' intersection over union: 0 to 1, higher is better."""
    return mean_of(intersection_over_union(matrix))


def kappa(matrix: ConfusionMatrix) -> float:
    """Agreement beyond chance: −1 to 1, higher is better (Cohen 1960, doi:10.1177/001316446002000104).

    nan where reference and map hold one and the same class only: chance would agree too.
    """
    total = max(matrix.total, 1)
    chance = float((matrix.of_reference / total) @ (matrix.of_map / total))
    return (overall_accuracy(matrix) - chance) / (1 - chance) if 1 - chance > 1e-12 else float("nan")


def quantity_disagreement(matrix: ConfusionMatrix) -> float:
    """Share of the pixels that are wrong because the classes' totals differ: 0 to 1, lower is better.

    Pontius & Millones 2011, doi:10.1080/01431161.2011.552923; with allocation disagreement it adds up to 1 − accuracy.
    """
    return float(np.abs(matrix.of_reference - matrix.of_map).sum() / 2 / matrix.total) if matrix.total else float("nan")


def allocation_disagreement(matrix: ConfusionMatrix) -> float:
    """Share of the pixels that are wrong because classes are swapped in space: 0 to 1, lower is better.

    Pontius & Millones 2011, doi:10.1080/01431161.2011.552923.
    """
    omitted, committed = matrix.of_reference - matrix.right, matrix.of_map - matrix.right
    return float(np.minimum(omitted, committed).sum() / matrix.total) if matrix.total else float("nan")


METRICS: Shelf[Metric] = Shelf(
    "metric",
    "metrics",
    {
        "overall_accuracy": overall_accuracy,
        "f1_weighted": f1_weighted,
        "f1_macro": f1_macro,
        "iou_macro": iou_macro,
        "kappa": kappa,
        "quantity_disagreement": quantity_disagreement,
        "allocation_disagreement": allocation_disagreement,
    },
)
