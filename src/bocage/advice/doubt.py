"""Probability that the label of a polygon is wrong, from predictions of models that were not trained on it.

Confident learning (Northcutt, Jiang & Chuang 2021, doi:10.1613/jair.1.12125) ranks samples by the held-out probability of their
own label, relative to a threshold of each class. Differences: probabilities are those of polygons, means over pixels and
repeated models, calibrated by a temperature; and instead of thresholds, the frequencies with which a label is given to polygons
of each class are estimated by expectation maximisation (a confusion matrix of the interpreter, as Dawid & Skene 1979,
doi:10.2307/2346806, estimate it with several interpreters). Two classes that are often confused in the labels are then suspected
more, also if the model, which learnt from these labels, is not sure.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

TEMPERATURES = np.exp(np.linspace(-np.log(5), np.log(5), 61))
"""Divisors of the logarithms of the probabilities that are tried."""
FLOOR = 1e-3
"""Lowest probability: trees return 0 for a class that no leaf has."""
RATE = 0.1
"""Share of wrong labels that is assumed before the data are seen."""
STRENGTH = 20.0
"""Number of polygons of each class that this assumption counts for."""
LEAST = 200
"""Minimum number of polygons of a region with frequencies of its own."""
STEPS, SETTLED = 200, 1e-5
"""Maximum number of steps of the expectation maximisation, and the change of a frequency below which it ends."""
FEWEST = 3
"""Minimum number of polygons of a class whose labels can be judged."""


@dataclass(frozen=True)
class Doubt:
    """Doubt about the label of each polygon."""

    wrong: NDArray[np.float64]
    """(P,) probability that the label is wrong; NaN for a polygon of a class with fewer than ``FEWEST`` polygons."""
    suggested: NDArray[np.int64]
    """(P,) position of the most probable other class."""
    likely: Matrix
    """(P, K) probability of each class, given the predictions and the label."""
    predicted: Matrix
    """(P, K) calibrated held-out probabilities, without regard to the label of the polygon."""
    given: Matrix
    """(K, K) frequency with which each label (column) is given to polygons of each class (row)."""

    @property
    def order(self) -> NDArray[np.int64]:
        """Positions of the polygons from the most to the least doubtful one; those that are not judged come last."""
        return np.argsort(-np.nan_to_num(self.wrong, nan=-1), kind="stable")


def doubt_of(probabilities: Matrix, label: NDArray[np.integer], region: NDArray[np.integer] | None = None) -> Doubt:
    """Return the doubt about labels (P,) from held-out probabilities (P, K).

    Parameters
    ----------
    region : (P,)
        Number of the region of each polygon, in which labels may be given by other interpreters; None: one region.
    """
    count, classes = probabilities.shape
    if not count:
        nothing = np.zeros((0, classes))
        return Doubt(np.zeros(0), np.zeros(0, np.int64), nothing, nothing, np.eye(classes))
    judged = np.bincount(label, minlength=classes)[label] >= FEWEST
    predicted = tempered(probabilities, label, judged)
    likely, given = given_labels(predicted, label)
    for one in np.unique(region) if region is not None else ():
        own = np.asarray(region == one)
        if own.sum() >= LEAST:
            likely[own] = given_labels(predicted[own], label[own], given)[0]
    index = np.arange(count)
    wrong = np.where(judged, 1 - likely[index, label], np.nan)
    others = likely.copy()
    others[index, label] = -1
    return Doubt(wrong, others.argmax(1), likely, predicted, given)


def tempered(probabilities: Matrix, label: NDArray[np.integer], judged: NDArray[np.bool_]) -> Matrix:
    """Return probabilities (P, K) with the temperature that gives the labels `judged` the highest likelihood."""
    logits = np.log(np.maximum(probabilities, FLOOR))
    best = TEMPERATURES[len(TEMPERATURES) // 2]
    if judged.any():
        some, own = logits[judged], label[judged]
        losses = [-np.log(_softmax(some / t)[np.arange(len(own)), own]).mean() for t in TEMPERATURES]
        best = TEMPERATURES[int(np.argmin(losses))]
    return _softmax(logits / best)


def given_labels(predicted: Matrix, label: NDArray[np.integer], prior: Matrix | None = None) -> tuple[Matrix, Matrix]:
    """Return the probability of each class (P, K) given predictions and labels, and the frequencies of given labels (K, K).

    Parameters
    ----------
    prior : (K, K)
        Frequencies assumed before; None: ``RATE`` of the labels are wrong, all other classes equally often.
    """
    classes = predicted.shape[1]
    if prior is None:
        prior = np.full((classes, classes), RATE / max(classes - 1, 1))
        np.fill_diagonal(prior, 1 - RATE if classes > 1 else 1)
    given, likely = prior, predicted
    for _ in range(STEPS):
        likely = predicted * given[:, label].T
        likely = likely / np.maximum(likely.sum(1, keepdims=True), 1e-300)
        counts = STRENGTH * prior
        for k in range(classes):
            counts[k] += np.bincount(label, likely[:, k], minlength=classes)
        before, given = given, counts / counts.sum(1, keepdims=True)
        if np.abs(given - before).max() < SETTLED:
            break
    return likely, given


def _softmax(logits: Matrix) -> Matrix:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))
