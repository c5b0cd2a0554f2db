"""Whether one model is better than another, on the same draws or on the same test polygons.

Scores of draws that share their polygons are not independent: the plain t-test takes their agreement for evidence and
finds differences that are not there (Dietterich 1998, doi:10.1162/089976698300017197). Pixels of one polygon are not
independent either. Both tests here say so in their variance.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bocage.errors import EvaluationError


@dataclass(frozen=True)
class Paired:
    """One model against another."""

    first: str
    second: str
    test: Literal["corrected resampled t", "naive t", "McNemar, polygons as clusters"]
    difference: float
    """Score of the first less that of the second: mean over draws, or over pixels."""
    statistic: float
    """t, or the square root of chi-square with the sign of the difference; nan where nothing differs."""
    p: float
    """Chance of a difference as large, either way, if there were none."""
    effect: float
    """Difference over its standard deviation between draws (Cohen's d of paired samples), or between polygons."""
    n: int
    """Draws, or polygons."""
    adjusted: float = math.nan
    """`p` after Holm's correction over all pairs told together."""


def resampled_t(
    first: Sequence[float] | NDArray[Any],
    second: Sequence[float] | NDArray[Any],
    ratio: float,
    names: tuple[str, str] = ("", ""),
) -> Paired:
    """Corrected resampled t-test of two models' scores on the same draws.

    Nadeau & Bengio 2003, doi:10.1023/A:1024068626366: the variance of the mean over J draws is that of the differences
    times ``1 / J + n_test / n_train``, because the draws share polygons.

    Parameters
    ----------
    ratio
        Test units over training units, counted in what was drawn (polygons or blocks, not pixels); 0 is the naive test.
    """
    differences = np.asarray(first, float) - np.asarray(second, float)
    differences = differences[~np.isnan(differences)]
    n = len(differences)
    if n < 2:
        raise EvaluationError(f"A paired t-test needs two draws or more on which both models have a score; found {n}.")
    mean, deviation = float(differences.mean()), float(differences.std(ddof=1))
    kind: Any = "corrected resampled t" if ratio else "naive t"
    if deviation < 1e-12:  # the same on every draw: nothing to tell apart, or a difference without spread
        certain = 0.0 if abs(mean) > 1e-12 else 1.0
        return Paired(*names, kind, mean, math.nan, certain, math.nan if certain else 0.0, n)
    from scipy import stats

    t = mean / (deviation * math.sqrt(1 / n + ratio))
    return Paired(*names, kind, mean, t, float(2 * stats.t.sf(abs(t), n - 1)), mean / deviation, n)


def clustered_mcnemar(
    right_first: NDArray[np.bool_],
    right_second: NDArray[np.bool_],
    polygon: NDArray[Any],
    names: tuple[str, str] = ("", ""),
) -> Paired:
    """McNemar's test of two models on the same test pixels, with polygons as clusters.

    With ``d`` the pixels of a polygon that only the first gets right less those that only the second does, chi-square is
    ``(Σ d)² / Σ d²`` with one degree of freedom (Yang, Sun & Hardin 2010, doi:10.1002/bimj.201000035, after Obuchowski
    1998). With one pixel a polygon it is McNemar's.
    """
    _, which = np.unique(polygon, return_inverse=True)
    gain = np.bincount(which, right_first.astype(float) - right_second.astype(float))
    k, total = len(gain), float(gain.sum())
    spread = float(np.square(gain).sum())
    difference = total / max(1, len(polygon))
    if not spread:
        return Paired(*names, "McNemar, polygons as clusters", difference, math.nan, 1.0, 0.0, k)
    from scipy import stats

    z = total / math.sqrt(spread)
    deviation = float(gain.std(ddof=1)) if k > 1 else math.nan
    return Paired(
        *names,
        "McNemar, polygons as clusters",
        difference,
        z,
        float(stats.chi2.sf(z * z, 1)),
        float(gain.mean()) / deviation,
        k,
    )


def holm(p: Sequence[float]) -> list[float]:
    """Adjust p-values for being many (Holm 1979): each is at most 1 and none falls below a smaller one's.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted, worst = [1.0] * len(p), 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = worst
    return adjusted


def all_pairs(scores: Mapping[str, NDArray[np.float64]], ratio: float) -> list[Paired]:
    """Compare every two models by the corrected resampled t-test, p-values adjusted by Holm over all pairs."""
    return told_together([resampled_t(scores[a], scores[b], ratio, (a, b)) for a, b in combinations(scores, 2)])


def told_together(pairs: Sequence[Paired]) -> list[Paired]:
    """Return the pairs with their p-values adjusted by Holm over all of them."""
    return [replace(one, adjusted=p) for one, p in zip(pairs, holm([one.p for one in pairs]), strict=True)]


def best_of(
    scores: Mapping[str, NDArray[np.float64]], pairs: Sequence[Paired], alpha: float = 0.05
) -> tuple[str, list[str]]:
    """Return the model of the highest mean, and those that it cannot be told from at the level `alpha`, after Holm."""
    means = {
        name: float(np.nanmean(values)) if not np.isnan(values).all() else -math.inf for name, values in scores.items()
    }
    best = max(means, key=lambda name: means[name])
    against = {
        (pair.second if pair.first == best else pair.first): pair for pair in pairs if best in (pair.first, pair.second)
    }
    return best, [name for name in scores if name != best and against[name].adjusted >= alpha]
