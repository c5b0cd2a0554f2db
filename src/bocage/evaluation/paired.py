"""Paired tests between two models, on the same draws or on the same test polygons.

Scores of draws that share polygons are not independent: the plain t-test underestimates their variance and rejects equality
too often (Dietterich 1998, doi:10.1162/089976698300017197). Pixels of one polygon are not independent either. The variances
of both tests in this module account for this dependence.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bocage.errors import EvaluationError
from bocage.intervals import is_spread


@dataclass(frozen=True)
class Paired:
    """Result of a paired test between two models."""

    first: str
    second: str
    test: Literal["corrected resampled t", "naive t", "McNemar, polygons as clusters", "McNemar, blocks as clusters"]
    difference: float
    """Score of the first model minus score of the second: mean over draws, or over pixels."""
    statistic: float
    """t, or the square root of chi-square with the sign of the difference; NaN if the differences have no variance."""
    p: float
    """Two-sided p-value; NaN if the difference is the same on every draw and not 0: there is no variance to test it with."""
    effect: float
    """Difference over its standard deviation between draws (Cohen's d of paired samples), or between clusters; 0 without a
    difference, NaN if the difference has no variance."""
    n: int
    """Number of draws, or of polygons or blocks."""
    adjusted: float = math.nan
    """`p` after Holm's correction over all pairs of the same family; NaN if `p` is."""


def resampled_t(
    first: Sequence[float] | NDArray[Any],
    second: Sequence[float] | NDArray[Any],
    ratio: float,
    names: tuple[str, str] = ("", ""),
) -> Paired:
    """Return the corrected resampled t-test of two models' scores on the same draws.

    Nadeau & Bengio 2003, doi:10.1023/A:1024068626366: the variance of the mean over J draws is the variance of the
    differences times ``1 / J + n_test / n_train``, because the draws share polygons. Draws without a score are left out.

    Parameters
    ----------
    ratio
        Test units over training units, in units of the split (polygons or blocks, not pixels); 0 gives the naive test.

    Raises
    ------
    EvaluationError
        Fewer than two draws have scores of both models.
    """
    differences = np.asarray(first, float) - np.asarray(second, float)
    differences = differences[~np.isnan(differences)]
    n = len(differences)
    if n < 2:
        raise EvaluationError(f"A paired t-test needs two draws or more on which both models have a score; found {n}.")
    mean, deviation = float(differences.mean()), float(differences.std(ddof=1))
    kind: Any = "corrected resampled t" if ratio else "naive t"
    if not is_spread(deviation):  # the same difference on every draw: t is undefined
        p, effect = (math.nan, math.nan) if abs(mean) > 1e-12 else (1.0, 0.0)
        return Paired(*names, kind, mean, math.nan, p, effect, n)
    from scipy import stats

    t = mean / (deviation * math.sqrt(1 / n + ratio))
    return Paired(*names, kind, mean, t, float(2 * stats.t.sf(abs(t), n - 1)), mean / deviation, n)


def clustered_mcnemar(
    right_first: NDArray[np.bool_],
    right_second: NDArray[np.bool_],
    polygon: NDArray[Any],
    names: tuple[str, str] = ("", ""),
    unit: Literal["polygon", "block"] = "polygon",
) -> Paired:
    """Return McNemar's test of two models on the same test pixels, with polygons as clusters, or blocks.

    Let ``d`` be the number of pixels of a polygon that only the first model classifies correctly, minus the number that only
    the second model does. Chi-square is ``(Σ d)² / Σ d²`` with one degree of freedom (Yang, Sun & Hardin 2010,
    doi:10.1002/bimj.201000035, after Obuchowski 1998). With one pixel per polygon it is McNemar's test.

    Parameters
    ----------
    right_first, right_second : (N,)
        Whether each model gives the reference class.
    polygon : (N,)
        Polygon of each pixel, or its block: where blocks are drawn, the polygons of a block are not independent.
    unit
        What the clusters are.
    """
    kind: Any = f"McNemar, {unit}s as clusters"
    _, which = np.unique(polygon, return_inverse=True)
    gain = np.bincount(which, right_first.astype(float) - right_second.astype(float))
    k, total = len(gain), float(gain.sum())
    spread = float(np.square(gain).sum())
    difference = total / max(1, len(polygon))
    if not spread:
        return Paired(*names, kind, difference, math.nan, 1.0, 0.0, k)
    from scipy import stats

    z = total / math.sqrt(spread)
    deviation = float(gain.std(ddof=1)) if k > 1 else 0.0
    effect = float(gain.mean()) / deviation if deviation else math.nan  # the same gain in every polygon
    return Paired(*names, kind, difference, z, float(stats.chi2.sf(z * z, 1)), effect, k)


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values adjusted for multiple tests (Holm 1979): at most 1, and in the same order as the p-values.

    NaN, of a pair that was not tested, stays NaN and does not count.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted((i for i, value in enumerate(p) if not math.isnan(value)), key=lambda i: p[i])
    adjusted, worst = [math.nan] * len(p), 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, (len(order) - rank) * p[i]))
        adjusted[i] = worst
    return adjusted


def all_pairs(scores: Mapping[str, NDArray[np.float64]], ratio: float) -> list[Paired]:
    """Return the corrected resampled t-test of each pair of models, with p-values adjusted by Holm over all pairs."""
    return told_together([resampled_t(scores[a], scores[b], ratio, (a, b)) for a, b in combinations(scores, 2)])


def told_together(pairs: Sequence[Paired]) -> list[Paired]:
    """Return the pairs with p-values adjusted by Holm over all of them."""
    return [replace(pair, adjusted=p) for pair, p in zip(pairs, holm([pair.p for pair in pairs]), strict=True)]


def best_of(
    scores: Mapping[str, NDArray[np.float64]], pairs: Sequence[Paired], alpha: float = 0.05
) -> tuple[str, list[str]]:
    """Return the model with the highest mean, and the models that do not differ from it at level `alpha` after Holm.

    A pair whose p-value is NaN does not show a difference. Without `pairs` (no test was made), no model is returned beside the
    best.
    """
    means = {
        name: float(np.nanmean(values)) if not np.isnan(values).all() else -math.inf for name, values in scores.items()
    }
    best = max(means, key=lambda name: means[name])
    against = {
        (pair.second if pair.first == best else pair.first): pair for pair in pairs if best in (pair.first, pair.second)
    }
    return best, [name for name in scores if name in against and not against[name].adjusted < alpha]
