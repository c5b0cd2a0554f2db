"""Probability that the label of a polygon is wrong, from predictions of models that were not trained on it.

Confident learning (Northcutt, Jiang & Chuang 2021, doi:10.1613/jair.1.12125) ranks samples by the held-out probability of their
own label, relative to a threshold of each class. Here, the labels have a model: each class is given each label with a frequency
that is estimated from all labels, as the confusion matrix of an interpreter (Dawid & Skene 1979, doi:10.2307/2346806, with one
interpreter, and the predictions instead of the others). Two classes that are often confused in the labels are then suspected
more. The probabilities are those of polygons: means over pixels and repeated models, multiplied by the shares of the classes
among the nearest polygons. Their temperature, and the weight of the neighbours, are those that give the labels the highest
likelihood, wrong labels included. So the confidence of a model that learnt from wrong labels is restored, and a model that is
right less often than it says is corrected. No label is known to be right in this estimate.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

TEMPERATURES = np.exp(np.linspace(-1.6, 1.6, 17))
"""Divisors of the logarithms of the probabilities that are tried: 0.2 to 5."""
WEIGHTS = (0.0, 0.1, 0.2, 0.35, 0.5)
"""Weights of the neighbours that are tried; the models have the rest."""
FLOOR, FLOOR_NEAR = 1e-3, 0.02
"""Lowest probability of models and of neighbours: trees return 0 for a class that no leaf has."""
TRIED = 5000
"""Maximum number of polygons on which temperature and weight are chosen."""
RATE = 0.1
"""Share of wrong labels that is assumed before the data are seen."""
STRENGTH = 20.0
"""Number of polygons of each class that this assumption counts for."""
LEAST = 200
"""Minimum number of polygons of a region with frequencies of its own."""
STEPS, SETTLED = 100, 1e-4
"""Maximum number of steps of the expectation maximisation, and the change of a frequency below which it ends."""
FEWEST = 3
"""Minimum number of polygons of a class whose labels can be judged; those at one place count once."""


@dataclass(frozen=True)
class Doubt:
    """Doubt about the label of each polygon."""

    wrong: NDArray[np.float64]
    """(P,) probability that the label is wrong; NaN for a polygon of a class at fewer than ``FEWEST`` places, or of
    which no model that judged it had samples."""
    suggested: NDArray[np.int64]
    """(P,) position of the most probable other class."""
    likely: Matrix
    """(P, K) probability of each class, given the predictions and the label."""
    predicted: Matrix
    """(P, K) calibrated probabilities of models and neighbours, without regard to the label of the polygon."""
    given: Matrix
    """(K, K) frequency with which each label (column) is given to polygons of each class (row)."""

    @property
    def order(self) -> NDArray[np.int64]:
        """Positions of the polygons from the most to the least doubtful one; those that are not judged come last."""
        return np.argsort(-np.nan_to_num(self.wrong, nan=-1), kind="stable")


def doubt_of(
    probabilities: Matrix,
    neighbours: Matrix,
    label: NDArray[np.integer],
    region: NDArray[np.integer] | None = None,
    place: NDArray[np.integer] | None = None,
    known: NDArray[np.bool_] | None = None,
) -> Doubt:
    """Return the doubt about labels (P,) from held-out probabilities and shares of the nearest polygons, both (P, K).

    Parameters
    ----------
    region : (P,)
        Number of the region of each polygon, in which labels may be given by other interpreters; None: one region.
    place : (P,)
        Number of the place of each polygon; no polygon of a place trains the models that judge another. None: all are apart.
    known : (P,)
        Whether a model that judged the polygon had samples of its class; None: all had.
    """
    count, classes = probabilities.shape
    places = np.unique(np.stack([label, np.arange(count) if place is None else place]), axis=1)
    judged = np.bincount(places[0], minlength=classes)[label] >= FEWEST
    judged &= np.ones(count, bool) if known is None else known
    predicted = calibrated(probabilities, neighbours, label, judged)
    likely, given = predicted.copy(), _assumed(classes)
    if judged.any():
        likely[judged], given, _ = given_labels(predicted[judged], label[judged], given)
    for one in np.unique(region) if region is not None else ():
        own = judged & (region == one)
        if own.sum() >= LEAST:
            likely[own] = given_labels(predicted[own], label[own], given)[0]
    index = np.arange(count)
    wrong = np.where(judged, 1 - likely[index, label], np.nan)
    others = likely.copy()
    others[index, label] = -1
    return Doubt(wrong, others.argmax(1), likely, predicted, given)


def calibrated(
    probabilities: Matrix, neighbours: Matrix, label: NDArray[np.integer], judged: NDArray[np.bool_]
) -> Matrix:
    """Return the probabilities (P, K) of models and neighbours together: those that make the labels `judged` most likely."""
    models, near = np.log(np.maximum(probabilities, FLOOR)), np.log(np.maximum(neighbours, FLOOR_NEAR))
    some = np.flatnonzero(judged)[:: max(1, -(-int(judged.sum()) // TRIED))]
    best, chosen = -np.inf, _softmax(models)
    if not len(some):
        return chosen
    prior = _assumed(probabilities.shape[1])
    settings = (0.0, 1.0)
    for weight, temperature in product(WEIGHTS, TEMPERATURES):
        logits = ((1 - weight) * models[some] + weight * near[some]) / temperature
        likelihood = given_labels(_softmax(logits), label[some], prior)[2]
        if likelihood > best:
            best, settings = likelihood, (weight, float(temperature))
    weight, temperature = settings
    return _softmax(((1 - weight) * models + weight * near) / temperature)


def given_labels(predicted: Matrix, label: NDArray[np.integer], prior: Matrix) -> tuple[Matrix, Matrix, float]:
    """Return the probability of each class (P, K) given predictions and labels, and the frequencies of given labels (K, K).

    Parameters
    ----------
    prior : (K, K)
        Frequencies assumed before; they count for ``STRENGTH`` polygons of each class.

    Returns
    -------
    The probabilities, the frequencies, and the logarithm of the likelihood of the labels times the prior.
    """
    classes = predicted.shape[1]
    given, likely, evidence = prior, predicted, np.ones(len(label))
    for _ in range(STEPS):
        likely = predicted * given[:, label].T
        evidence = np.maximum(likely.sum(1), 1e-300)
        likely = likely / evidence[:, None]
        counts = STRENGTH * prior
        for k in range(classes):
            counts[k] += np.bincount(label, likely[:, k], minlength=classes)
        before, given = given, counts / counts.sum(1, keepdims=True)
        if np.abs(given - before).max() < SETTLED:
            break
    return likely, given, float(np.log(evidence).sum() + STRENGTH * (prior * np.log(given)).sum())


def _assumed(classes: int) -> Matrix:
    """Return the frequencies of given labels before the data are seen: all other classes are equally frequent."""
    prior = np.full((classes, classes), RATE / (classes - 1))
    np.fill_diagonal(prior, 1 - RATE)
    return prior


def _softmax(logits: Matrix) -> Matrix:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))
