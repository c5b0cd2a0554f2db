"""Areas corrected for the errors of a map, with 95 % intervals: in any zone, and for transitions between two maps.

Both start from reference pixels with their map class, in independent units: polygons, whose pixels are correlated, or the single
pixels of a random sample.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import FinishError
from bocage.evaluation.area import Estimate
from bocage.evaluation.correction import MISFIT, SINGULAR, explaining
from bocage.finish.likeness import Likeness
from bocage.intervals import is_spread

SMALLEST = 1e-9
"""Share of a reference class that the map does not have."""
STEPS = 20_000
"""Maximum number of steps towards the shares of the transitions."""


@dataclass(frozen=True)
class Checked:
    """Reference pixels with their map class."""

    counts: NDArray[np.float64]
    """Number (or weight) of pixels of each unit by reference class (row) and map class (column), (U, K, K)."""
    names: tuple[str, ...]
    origin: str
    """Origin of the reference pixels, in words."""

    @classmethod
    def of(
        cls,
        mapped: NDArray[Any],
        reference: NDArray[Any],
        unit: NDArray[Any],
        names: Sequence[str],
        origin: str,
    ) -> "Checked":
        """Count the pixels (N,) of each unit; classes are positions in `names`."""
        k = len(names)
        which = np.unique(unit, return_inverse=True)[1].ravel()
        units = int(which.max(initial=-1)) + 1
        cell = (which * k + np.asarray(reference, np.int64)) * k + np.asarray(mapped, np.int64)
        counts = np.bincount(cell, minlength=units * k * k).reshape(units, k, k)
        return cls(counts.astype(np.float64), tuple(names), origin)

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of each reference class (row) within each map class (column), (K, K); a class without pixels has its own."""
        held = self.counts.sum((0, 1))
        seen = held > 0
        return np.where(seen, self.counts.sum(0) / np.where(seen, held, 1), np.eye(len(held)))

    def weighted(self, weight: NDArray[np.float64]) -> "Checked":
        """Return the counts multiplied by weights that broadcast to (U, K, K): of units, or of classes."""
        return Checked(self.counts * weight, self.names, self.origin)

    def at_shares(self, shares: Sequence[float]) -> "Checked":
        """Return the counts with reference classes in the proportions of `shares`: their numbers were somebody's choice.

        A share of 0 counts as a very small one, so that the confusions of the class stay known.
        """
        held, least = self.counts.sum((0, 2)), np.maximum(np.asarray(shares, float), SMALLEST)
        weight = np.divide(least, held, out=np.zeros(len(held)), where=held > 0)
        return self.weighted(weight[:, None])


@dataclass(frozen=True)
class Calibration:
    """Shares of the reference classes within each map class: they turn mapped areas into estimated ones.

    The calibration estimator (Czaplewski & Catts 1992, doi:10.1016/0034-4257(92)90138-A; Gallego 2004,
    doi:10.1080/01431160310001619607): the estimated area of a class is the sum, over the map classes, of the mapped area times
    the share of the class among the reference pixels of that map class. It assumes that these shares are the same in every
    zone as over the whole map, but for chance. The variance is that of the shares between units, by linearisation, plus that of
    the shares of a zone around those of the map; that of given weights is left out.
    """

    checked: Checked
    fitted: bool = False
    """Whether the proportions of the reference classes are those that, with the rates of confusion of the same units, give the
    areas of the map. Their variance is then part of the intervals."""
    likeness: Likeness | None = None
    """How the shares vary over the map; None: not at all."""

    def estimate(self, mapped: NDArray[np.float64]) -> list[Estimate]:
        """Return the estimated areas (K) of a zone, given the mapped areas (K,).

        A map class without reference pixels is taken as it is. With given weights, the interval is NaN where a map class of the
        zone has reference pixels in one unit only; with fitted ones, of a reference class with pixels in one unit only.
        """
        counts, share = self.checked.counts, self.checked.shares
        value = share @ mapped
        error = np.sqrt(np.square((self._fitted if self.fitted else self._given)(mapped, share)).sum(0))
        if self.likeness:
            error = np.hypot(error, self.likeness.error(mapped, share))
        quantile, total = _quantile(int(counts.any((1, 2)).sum())), float(mapped.sum())
        return [_interval(float(v), float(e), quantile, total) for v, e in zip(value, error, strict=True)]

    def _given(self, mapped: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the influence of each unit on the areas (U, K), with weights that are given."""
        counts = self.checked.counts
        held, in_class = counts.sum((0, 1)), counts.sum(1)  # pixels of each unit by map class (U, K)
        residual = counts - share * in_class[:, None, :]
        units = (in_class > 0).sum(0)
        few = np.where(units > 1, units / np.maximum(units - 1, 1), math.nan)
        seen = held > 0
        scale = np.where(seen & (mapped > 0), mapped / np.where(seen, held, 1) * np.sqrt(few), 0.0)
        return np.asarray((residual * scale).sum(2))

    def _fitted(self, mapped: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the influence of each unit on the areas (U, K), with proportions of the reference classes that it determines.

        NaN of a class with pixels in one unit only, and of all if the rates of confusion cannot be inverted.
        """
        counts = self.checked.counts
        try:
            rates = _rates(self.checked)
        except FinishError:
            return np.full(counts.shape[:2], math.nan)
        proportions, held = counts.sum((0, 2)) / counts.sum(), counts.sum((0, 1)) / counts.sum()
        change = _influence(self.checked, rates)
        alone = np.isnan(change).any((0, 2))
        change = np.nan_to_num(change)
        # A change d of the rates leaves the areas of the map: it changes the proportions by -proportions @ d @ inv(rates).
        moved = -np.einsum("r,urm,mk->uk", proportions, change, np.linalg.inv(rates))
        per_area = np.where(held > 0, mapped / np.where(held > 0, held, 1), 0.0)
        influence = (moved[:, :, None] * rates + proportions[:, None] * change) @ per_area
        return np.where(alone, math.nan, influence)


@dataclass(frozen=True)
class Transitions:
    """Estimated transitions between two maps, as shares of their common area."""

    shares: tuple[tuple[Estimate, ...], ...]
    """Class before (row) and after (column)."""
    changed: Estimate
    """Share whose class changed."""
    by_error: float
    """Share that would appear as change if nothing had changed, because of the errors of both maps."""


def adjusted(mapped: NDArray[np.float64], before: Checked, after: Checked) -> Transitions:
    """Correct the mapped transitions for the errors of both maps.

    The model: the errors of a map depend on the true class at its date only, at the rates measured on the reference pixels, and
    those of the two maps are independent of each other. The shares of the true transitions are then those that give the mapped
    shares, ``before.T @ shares @ after`` with the rates within each reference class; they are kept between 0 and 1 by maximum
    likelihood (EM). With many classes, most transitions are rare, and the sum of shares that cannot be negative is too high: the
    changed share, and all intervals, are those of the shares without this limit, cut at 0 and 1. The variance comes from that of
    the rates between units, by linearisation.

    Parameters
    ----------
    mapped : (K, K)
        Mapped area by class before (row) and after (column).

    Raises
    ------
    FinishError
        A class has no reference pixel at one of the dates, the rates do not tell the classes apart or do not explain the areas of
        a map, or the maps differ less than independent errors would make them differ.
    """
    first, second, observed = _rates(before), _rates(after), mapped / mapped.sum()
    _check_explained(before, first, observed.sum(1))
    _check_explained(after, second, observed.sum(0))
    exact = np.linalg.inv(first).T @ observed @ np.linalg.inv(second)
    shares = _true_shares(observed, exact, first, second)
    by_error = 1 - float(shares.sum(1) @ (first * second).sum(1))
    left, right = _influence(before, first) @ np.linalg.inv(first), _influence(after, second) @ np.linalg.inv(second)
    # A change d of the rates changes the shares by -inv(before).T @ d.T @ shares - shares @ d @ inv(after).
    changes = [np.einsum("ura,rb->uab", left, exact), np.einsum("ar,urb->uab", exact, right)]
    error = np.sqrt(sum(np.square(change).sum(0) for change in changes))
    still = math.sqrt(sum(float(np.square(np.trace(change, axis1=1, axis2=2)).sum()) for change in changes))
    quantile = _quantile(min(len(before.counts), len(after.counts)))
    cells = tuple(
        tuple(_around(float(v), float(x), float(e), quantile) for v, x, e in zip(*row, strict=True))
        for row in zip(shares, exact, error, strict=True)
    )
    changed = 1 - float(np.trace(exact))
    if changed + quantile * still < 0:
        raise FinishError(
            f"the maps differ in {100 * (1 - float(np.trace(observed))):.1f} % of their area, less than their errors alone would "
            "give if they were independent: the maps repeat errors in the same places."
        )
    return Transitions(cells, _around(min(1.0, max(0.0, changed)), changed, still, quantile), by_error)


def _check_explained(checked: Checked, rates: NDArray[np.float64], share: NDArray[np.float64]) -> None:
    """Check that some areas of the classes give the mapped shares (K,) of one map.

    Raises
    ------
    FinishError
        No areas do.
    """
    misfit = float(np.abs(explaining(rates, share) @ rates - share).max())
    if misfit > MISFIT:
        raise FinishError(
            f"{checked.origin}: the rates of confusion do not explain the mapped areas (largest difference {100 * misfit:.1f} "
            "points of the mapped area)."
        )


def _true_shares(
    mapped: NDArray[np.float64], exact: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the shares of the true transitions (K, K) that give the mapped shares with the rates of both maps.

    `exact` (K, K) are these shares without the limits 0 and 1.
    """
    if (exact >= -1e-12).all():  # the likelihood has its maximum there
        return np.asarray(np.maximum(exact, 0) / np.maximum(exact, 0).sum())
    shares = 0.9 * mapped + 0.1 / mapped.size
    for _ in range(STEPS):
        expected = first.T @ shares @ second
        ratio = np.divide(mapped, expected, out=np.zeros_like(mapped), where=expected > 0)
        new = shares * (first @ ratio @ second.T)
        done = float(np.abs(new - shares).max()) < 1e-12
        shares = new / new.sum()
        if done:
            break
    return shares


def _rates(checked: Checked) -> NDArray[np.float64]:
    """Return the rates at which each reference class (row) is mapped as each class (K, K)."""
    counts = checked.counts.sum(0)
    held = counts.sum(1)
    if absent := [name for name, n in zip(checked.names, held, strict=True) if not n]:
        raise FinishError(
            f"{checked.origin}: no reference pixel of {', '.join(absent)}. An adjustment needs the confusions of every class."
        )
    rates = np.asarray(counts / held[:, None])
    if np.linalg.cond(rates) > SINGULAR:
        raise FinishError(
            f"{checked.origin}: the map does not tell its classes apart well enough to correct its errors."
        )
    return rates


def _influence(checked: Checked, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the influence of each unit on the rates (U, K, K), scaled so that squares add up to the variance."""
    of_class = checked.counts.sum(2)  # pixels of each unit by reference class (U, K)
    units = (of_class > 0).sum(0)
    few = np.where(units > 1, units / np.maximum(units - 1, 1), math.nan)
    residual = checked.counts - of_class[:, :, None] * rates
    return np.asarray(residual / of_class.sum(0)[:, None] * np.sqrt(few)[:, None])


def _quantile(units: int) -> float:
    from scipy import stats

    return float(stats.t.ppf(0.975, units - 1)) if units > 1 else math.nan


def _interval(value: float, error: float, quantile: float, most: float) -> Estimate:
    """Return an estimate between 0 and `most` with its interval; NaN without a variance between units."""
    if math.isnan(quantile) or not is_spread(error, most):
        return Estimate(value, math.nan, math.nan, math.nan)
    return Estimate(value, error, max(0.0, value - quantile * error), min(most, value + quantile * error))


def _around(value: float, exact: float, error: float, quantile: float) -> Estimate:
    """Return a share between 0 and 1 with the interval of its estimate without these limits, cut at them."""
    if math.isnan(quantile) or not is_spread(error):
        return Estimate(value, math.nan, math.nan, math.nan)
    low, high = exact - quantile * error, exact + quantile * error
    return Estimate(value, error, max(0.0, min(value, low)), min(1.0, max(value, high)))
