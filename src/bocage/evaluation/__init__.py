"""Predictions + truth → Score: metrics of confusion matrices over several draws."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.evaluation.area import Adjusted, clustered, stratified
from bocage.evaluation.comparison import Comparison, Line, set_beside
from bocage.evaluation.matrix import ConfusionMatrix
from bocage.evaluation.metrics import METRICS
from bocage.evaluation.predictions import Predictions, predictions_of
from bocage.evaluation.score import Evaluation, Score, load_score, spread_of
from bocage.evaluation.trust import Trust, trust_of


def compare(
    pairs: Iterable[tuple[NDArray[Any], NDArray[Any]]], codes: Sequence[int], names: Sequence[str]
) -> ConfusionMatrix:
    """Return the confusion matrix of two maps of codes, read window by window as pairs (truth, map).

    Pixels whose code is 0 or unknown in either map are left out.
    """
    table = np.full(65536, -1, np.int64)
    table[list(codes)] = np.arange(len(codes))
    total = ConfusionMatrix(np.zeros((len(codes), len(codes)), np.int64), tuple(names))
    for truth, predicted in pairs:
        a, b = (table[np.where((x >= 0) & (x < len(table)), x, 0).astype(np.int64)] for x in (truth, predicted))
        known = (a >= 0) & (b >= 0)
        total = total + ConfusionMatrix.of(a[known], b[known], tuple(names))
    return total


__all__ = [
    "METRICS",
    "Adjusted",
    "Comparison",
    "ConfusionMatrix",
    "Evaluation",
    "Line",
    "Predictions",
    "Score",
    "Trust",
    "clustered",
    "compare",
    "load_score",
    "predictions_of",
    "set_beside",
    "spread_of",
    "stratified",
    "trust_of",
]
