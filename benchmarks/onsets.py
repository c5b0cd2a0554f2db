"""Onset of the rains, with which rain-fed crops are sown, in daily rain: two rules, and a growing period of a water balance."""

import numpy as np
from numpy.typing import NDArray

Rain = NDArray[np.float64]
WHOLE = 360
"""Days from which a season is judged as a whole."""
RAINY, SPELL, WATCHED = 1.0, 7, 30
"""Least rain of a rainy day in mm; longest dry spell, and days after the onset in which it is searched."""


def sivakumar(rain: Rain) -> int | None:
    """Return the first day, by its position, with 20 mm in three days and no dry spell above 7 days in the next 30 days.

    If a whole season has no such day, the first with 20 mm in three days. None without it. Sivakumar 1988,
    doi:10.1016/0168-1923(88)90039-1.
    """
    enough = np.flatnonzero(_sums(rain, 3) >= 20)
    known = (int(day) for day in enough if day + WATCHED < len(rain))
    found = next((day for day in known if _longest_dry(rain[day + 1 : day + 1 + WATCHED]) <= SPELL), None)
    return int(enough[0]) if found is None and len(enough) and len(rain) >= WHOLE else found


def fews(rain: Rain) -> int | None:
    """Return the first day, by its position, with 25 mm in ten days and 20 mm in the next twenty days; None without it.

    The rule of AGRHYMET and FEWS NET for the start of the growing season, with days instead of ten-day periods.
    """
    before, after = _sums(rain, 10)[:-20], _sums(rain, 20)[20:]
    found = np.flatnonzero((before >= 25) & (after >= 20))
    return int(found[0]) if len(found) else None


def growing(stress: NDArray[np.float64]) -> int | None:
    """Return the first day whose Ks is above 0.5, also on 23 of the 30 days after it, by its position; None without it."""
    wet = stress > 0.5
    days = (day for day in range(len(wet) - 30) if wet[day] and wet[day + 1 : day + 31].sum() >= 23)
    return next(days, None)


def _sums(rain: Rain, days: int) -> Rain:
    """Return the rain of some days until each day."""
    sums = np.concatenate([np.zeros(days), np.cumsum(rain)])
    return np.asarray((sums[days:] - sums[:-days]).round(6))


def _longest_dry(rain: Rain) -> int:
    """Return the length of the longest dry spell, in days."""
    wet = np.flatnonzero(np.concatenate([[True], rain >= RAINY, [True]]))
    return int(np.diff(wet).max()) - 1
