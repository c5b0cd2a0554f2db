"""Weights of classes with which probabilities have a wanted mean: iterative proportional fitting of the shares of the classes.

Saerens, Latinne & Decaestecker 2002 (doi:10.1162/089976602753284446) correct posterior probabilities for other shares of the
classes: each probability is multiplied by a weight of its class, and the products are divided by their sum. With shares that are
known, the weights are those with which the mean of the corrected probabilities is these shares. They are found as in the raking
of tables to known margins (Deming & Stephan 1940, doi:10.1214/aoms/1177731829): each step multiplies the weight of a class by its
wanted share over its present one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BOUND = 100.0
"""Largest weight of a class, where the geometric mean of the weights (each class counts with its wanted share) is 1. Larger ones
would turn the rounding of stored probabilities into classes."""
STEPS = 2000
"""Maximum number of steps."""
CLOSE, STILL = 1e-6, 1e-7
"""Difference of the shares from the wanted ones, and relative change of the weights, below which the fit ends."""
TINY = 1e-12


@dataclass(frozen=True)
class Wanted:
    """Wanted mean probability of each class of an area."""

    shares: NDArray[np.float64]
    """(K,), sum 1. Of classes without a statistic, only the sum is wanted."""
    given: NDArray[np.bool_]
    """Whether each class has a statistic (K,)."""


def wanted_of(statistic: NDArray[np.float64], mean: NDArray[np.float64], trust: float) -> Wanted:
    """Return the wanted shares of an area: between its statistic and the mean probabilities of its pixels.

    Parameters
    ----------
    statistic : (K,)
        Share of each class in the area, 0 to 1, sum at most 1; NaN without a statistic.
    mean : (K,)
        Mean probability of each class, sum 1.
    trust
        Weight of the statistic, above 0 to 1; the mean probability has the rest.
    """
    given = ~np.isnan(statistic)
    shares = np.where(given, trust * np.nan_to_num(statistic) + (1 - trust) * mean, 0.0)
    if given.all():
        return Wanted(shares / max(float(shares.sum()), TINY), given)
    shares /= max(1.0, float(shares.sum()))
    rest, others = 1 - float(shares.sum()), float(mean[~given].sum())
    shares[~given] = rest * mean[~given] / others if others > TINY else rest / (~given).sum()
    return Wanted(shares, given)


def rake(
    probabilities: NDArray[np.float64], wanted: Wanted, area: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return the weight of each class (K,), from 0 to :data:`BOUND`.

    With them, the mean of :func:`reweighted` is the wanted shares. Classes without a statistic have one weight. A share that
    cannot be reached is approached: one of a class without probability, or one that needs a weight beyond the bound.

    Parameters
    ----------
    probabilities : (N, K)
        Probabilities of pixels, sum 1.
    area : (N,)
        Area of each pixel; None: all are equal.
    """
    groups, goal = _grouped(probabilities, wanted)
    part = np.full(len(groups), 1.0) if area is None else np.asarray(area, np.float64)
    part = part / part.sum()
    goal = np.where(part @ groups > TINY, goal, 0.0)  # no weight gives a class without probability a share
    goal = goal / max(float(goal.sum()), TINY)
    weights = (goal > 0).astype(np.float64)
    for _ in range(STEPS):
        total = groups @ weights
        mean = weights * ((part / np.where(total > TINY, total, np.inf)) @ groups)
        if np.abs(mean - goal).max(initial=0.0) < CLOSE:
            break
        following = _bounded(weights * np.divide(goal, mean, out=np.ones_like(mean), where=mean > TINY), goal)
        change = np.abs(following - weights).max(initial=0.0, where=goal > 0)
        weights = following
        if change <= STILL * max(1.0, float(weights.max(initial=0.0))):
            break
    return _ungrouped(weights, wanted)


def _grouped(probabilities: NDArray[np.float64], wanted: Wanted) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return probabilities (N, G) and wanted shares (G,) of the classes with a statistic, then of all others together."""
    given = wanted.given
    if given.all():
        return probabilities, wanted.shares
    rest = probabilities[:, ~given].sum(1, keepdims=True)
    goal = np.append(wanted.shares[given], wanted.shares[~given].sum())
    return np.concatenate([probabilities[:, given], rest], 1), goal


def _ungrouped(weights: NDArray[np.float64], wanted: Wanted) -> NDArray[np.float64]:
    """Return the weight of each class (K,) from that of each group (G,)."""
    found = np.full(len(wanted.given), weights[-1])
    found[wanted.given] = weights[: int(wanted.given.sum())]
    return found


def _bounded(weights: NDArray[np.float64], goal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights with the geometric mean 1 (each class counts with its wanted share), at most the bound."""
    above = (weights > 0) & (goal > 0)
    mean = np.exp(np.sum(goal[above] * np.log(weights[above])))
    return np.where(above, np.clip(weights / mean, TINY, BOUND), 0.0)


def reweighted(probabilities: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities (..., K) times the weights of their classes, divided by their sum.

    A pixel whose classes all have the weight 0 keeps its probabilities. `weights` is (K,), or has the shape of the
    probabilities.
    """
    found = probabilities * weights
    total = found.sum(-1, keepdims=True)
    return np.where(total > TINY, found / np.where(total > TINY, total, 1.0), probabilities)
