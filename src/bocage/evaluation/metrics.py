"""Metrics of a confusion matrix: functions that return one number, or one number for each class.

Definitions follow Congalton 1991 (doi:10.1016/0034-4257(91)90048-B). If the denominator is 0, the value is NaN, never 0:
user's accuracy of a class that is not mapped, producer's accuracy of a class that is not in the reference, all metrics of a
class that is in neither, all metrics of a class that is never tested. A mean over classes leaves out the classes without a
value.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import BocageError, EvaluationError
from bocage.evaluation.matrix import ConfusionMatrix
from bocage.shelf import Shelf

Metric = Callable[[ConfusionMatrix], float]
MAIN = ("overall_accuracy", "f1_weighted", "kappa")
"""Metrics of every score, which tables of several scores show."""


def _divide(matrix: ConfusionMatrix, above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    """Return the quotient for each class, (K,); NaN where the denominator is 0 or the class is not tested."""
    known = (below > 0) & matrix.tested
    return np.where(known, above / np.where(known, below, 1), np.nan)


def mean_of(values: NDArray[np.float64]) -> float:
    """Return the mean of the values that are not NaN; NaN if all are."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def producers_accuracy(matrix: ConfusionMatrix) -> NDArray[np.float64]:
    """Producer's accuracy of each class: share of its reference pixels mapped correctly (recall, 1 − omission). (K,), 0 to 1."""
    return _divide(matrix, matrix.right, matrix.of_reference)


def users_accuracy(matrix: ConfusionMatrix) -> NDArray[np.float64]:
    """User's accuracy of each class: share of its mapped pixels that are correct (precision, 1 − commission). (K,), 0 to 1."""
    return _divide(matrix, matrix.right, matrix.of_map)


def f1(matrix: ConfusionMatrix) -> NDArray[np.float64]:
    """F-measure of each class, the harmonic mean of user's and producer's accuracy: (K,), 0 to 1."""
    return _divide(matrix, 2 * matrix.right, matrix.of_reference + matrix.of_map)


def intersection_over_union(matrix: ConfusionMatrix) -> NDArray[np.float64]:
    """Intersection over union (Jaccard index) of map and reference for each class: (K,), 0 to 1."""
    return _divide(matrix, matrix.right, matrix.of_reference + matrix.of_map - matrix.right)


def overall_accuracy(matrix: ConfusionMatrix) -> float:
    """Overall accuracy, the share of correctly classified pixels: 0 to 1, higher is better."""
    return float(matrix.right.sum() / matrix.total) if matrix.total else float("nan")


def f1_weighted(matrix: ConfusionMatrix) -> float:
    """Mean F-measure of the classes, weighted by their reference pixels: 0 to 1, higher is better."""
    weight = matrix.of_reference
    return float((f1(matrix)[weight > 0] * weight[weight > 0]).sum() / matrix.total) if matrix.total else float("nan")


def f1_macro(matrix: ConfusionMatrix) -> float:
    """Unweighted mean F-measure of the classes: 0 to 1, higher is better."""
    return mean_of(f1(matrix))


def iou_macro(matrix: ConfusionMatrix) -> float:
    """Unweighted mean intersection over union of the classes: 0 to 1, higher is better."""
    return mean_of(intersection_over_union(matrix))


def kappa(matrix: ConfusionMatrix) -> float:
    """Cohen's kappa, agreement beyond chance: −1 to 1, higher is better (Cohen 1960, doi:10.1177/001316446002000104).

    NaN if reference and map contain only one class, the same in both: the chance agreement is then 1.
    """
    total = max(matrix.total, 1)
    chance = float((matrix.of_reference / total) @ (matrix.of_map / total))
    return (overall_accuracy(matrix) - chance) / (1 - chance) if 1 - chance > 1e-12 else float("nan")


def quantity_disagreement(matrix: ConfusionMatrix) -> float:
    """Disagreement due to different class totals in map and reference: share of the pixels, 0 to 1, lower is better.

    Pontius & Millones 2011, doi:10.1080/01431161.2011.552923. The sum with the allocation disagreement is 1 − overall
    accuracy.
    """
    return float(np.abs(matrix.of_reference - matrix.of_map).sum() / 2 / matrix.total) if matrix.total else float("nan")


def allocation_disagreement(matrix: ConfusionMatrix) -> float:
    """Disagreement due to classes exchanged between places: share of the pixels, 0 to 1, lower is better.

    Pontius & Millones 2011, doi:10.1080/01431161.2011.552923.
    """
    omitted, committed = matrix.of_reference - matrix.right, matrix.of_map - matrix.right
    return float(np.minimum(omitted, committed).sum() / matrix.total) if matrix.total else float("nan")


def _no_metric(thing: Any) -> str:
    """Return why an object is not a metric: it is tried on a small matrix."""
    try:
        value = thing(ConfusionMatrix(np.array([[2, 1], [0, 3]], np.int64), ("a", "b")))
        return "" if np.isscalar(value) and np.isreal(value) else f"it returns {type(value).__name__}, not one number"
    except Exception as error:  # the function is not ours
        return f"of a confusion matrix, it raises {type(error).__name__}: {error}"


def measured(name: str, matrix: ConfusionMatrix) -> float:
    """Return a metric of a confusion matrix; NaN where the function gives no finite number.

    Raises
    ------
    EvaluationError
        The function raises an error.
    """
    try:
        value = float(METRICS.get(name)(matrix))
    except BocageError:
        raise
    except Exception as error:  # the function may not be ours
        raise EvaluationError(f"The metric {name} raises {type(error).__name__}: {error}") from error
    return value if np.isfinite(value) else float("nan")


def lower_is_better(metric: Metric) -> bool:
    """Return whether lower values of a metric are better, as its docstring states."""
    return "lower is better" in " ".join((metric.__doc__ or "").lower().split())


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
    _no_metric,
)
