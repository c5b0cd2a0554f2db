"""Value of candidate fields for a survey, and the choice of a set of fields that are unlike each other.

The gain of a candidate is its value times its distance, in the features of a model, to the nearest field that is surveyed or
chosen before (greedy k-centre, weighted by the value; Sener & Savarese 2018, arXiv:1708.00489). The value combines the doubt of
the model, the novelty and the rarity of the predicted class.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Strategy = Literal["balanced", "uncertainty", "random"]
FARTHEST = 2.0
"""Novelty above which a candidate is not worth more: such places are often outside the nomenclature."""
ROWS = 4096
"""Number of candidates whose distances to all surveyed fields are computed at a time."""


@dataclass(frozen=True)
class Weights:
    """Exponents of the parts of the gain; 0: the part has no effect."""

    doubt: float = 1.0
    novelty: float = 0.0
    balance: float = 0.0
    diversity: float = 0.0


BALANCED = Weights(doubt=2.0, novelty=0.5, balance=0.5, diversity=1.0)
"""Weights of the strategy "balanced" (``benchmarks/scout.py``)."""


@dataclass(frozen=True)
class Findings:
    """What trained models find at N candidates."""

    probability: Floats
    """Mean calibrated class probabilities over the pixels of each candidate and the models (N, K)."""
    doubt: Floats
    """Mean over its pixels of 1 minus the margin between the two most probable classes, 0 to 1 (N,)."""
    novelty: Floats
    """Mean novelty over its pixels, above 1 outside the training domain (N,)."""
    features: Floats
    """Mean features over its pixels (N, F)."""

    def take(self, members: NDArray[Any]) -> "Findings":
        """Return the candidates at the positions `members`."""
        return Findings(
            self.probability[members], self.doubt[members], self.novelty[members], self.features[members]
        )  # fmt: skip

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Position of the most probable class (N,)."""
        return np.asarray(self.probability.argmax(1), np.int64)

    def __len__(self) -> int:
        return len(self.doubt)


@dataclass(frozen=True)
class Known:
    """The fields that are surveyed already."""

    features: Floats
    """Features of the fields (M, F)."""
    fields: NDArray[np.int64]
    """Number of fields of each class (K,)."""


def doubt_of(probabilities: NDArray[Any]) -> Floats:
    """Return 1 minus the margin between the two largest probabilities of each row (N, K), 0 to 1.

    >>> doubt_of(np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    first, second = np.sort(np.asarray(probabilities, float), axis=1)[:, :-3:-1].T
    return np.asarray(1 - (first - second))


def rarity_of(probability: Floats, fields: NDArray[np.int64]) -> Floats:
    """Return the expected rarity of the class of each candidate, with mean 1 over the classes (N,).

    The rarity of a class is inversely proportional to its number of surveyed fields, plus 1.

    >>> rarity_of(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([9, 1])).round(2).tolist()
    [0.33, 1.67]
    """
    rarity = 1 / (fields + 1)
    return np.asarray(probability @ (rarity / rarity.mean()))


def value_of(found: Findings, known: Known, weights: Weights) -> Floats:
    """Return the value of each candidate without regard to the others (N,)."""
    novelty = np.clip(found.novelty, 0, FARTHEST)
    rarity = rarity_of(found.probability, known.fields)
    return np.asarray(found.doubt**weights.doubt * novelty**weights.novelty * rarity**weights.balance)


class Gains:
    """Gain of every candidate, given the fields that are surveyed and those chosen so far."""

    def __init__(self, value: Floats, features: Floats, known: Floats, diversity: float) -> None:
        self.value, self.features, self.diversity = value, features, diversity
        self.distance = np.full(len(value), np.inf)
        if diversity:
            for start in range(0, len(features), ROWS):
                part = slice(start, start + ROWS)
                self.distance[part] = _nearest(features[part], known)

    @property
    def now(self) -> Floats:
        """Gain of each candidate (N,); 0 for a copy of a field that is surveyed or chosen."""
        if not self.diversity:
            return self.value
        finite = np.where(np.isfinite(self.distance), self.distance, 1.0)  # nothing is surveyed or chosen
        return np.asarray(self.value * finite**self.diversity)

    def choose(self, candidate: int) -> None:
        """Note that a candidate is chosen."""
        if self.diversity:
            self.distance = np.minimum(self.distance, _nearest(self.features, self.features[candidate : candidate + 1]))


def gains_of(found: Findings, known: Known, strategy: Strategy, seed: int, weights: Weights = BALANCED) -> Gains:
    """Return the gains of a strategy; "uncertainty" is the doubt alone, and "random" a random number."""
    if strategy == "random":
        return Gains(np.random.default_rng((seed, 1)).random(len(found)), found.features, known.features, 0)
    if strategy == "uncertainty":
        weights = Weights()
    return Gains(value_of(found, known, weights), found.features, known.features, weights.diversity)


def standardised(found: Findings, known: Known) -> tuple[Findings, Known]:
    """Return features with mean 0 and standard deviation 1 over candidates and surveyed fields; constant ones are 0."""
    everything = np.concatenate([found.features, known.features])
    mean, deviation = everything.mean(0), everything.std(0)
    scale = np.where(deviation > 1e-9 * np.maximum(np.abs(mean), 1), deviation, np.inf)

    def scaled(features: Floats) -> Floats:
        return np.asarray((features - mean) / scale)

    return replace(found, features=scaled(found.features)), replace(known, features=scaled(known.features))


def _nearest(features: Floats, points: Floats) -> Floats:
    """Return the distance of features (N, F) to the nearest of some points (M, F); infinite without points."""
    if not len(points):
        return np.full(len(features), np.inf)
    squares = (features**2).sum(1)[:, None] - 2 * features @ points.T + (points**2).sum(1)
    return np.asarray(np.sqrt(np.maximum(squares.min(1), 0)))
