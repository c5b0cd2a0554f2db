"""Days of a place expressed as days of another place or year at equal thermal time.

A model reads the time of an image as the day of the year, or as the position of a date in a series. Crops reach the same stage on
other days where it is warmer or colder, but at a similar sum of growing degree days (McMaster & Wilhelm 1997,
doi:10.1016/S0168-1923(97)00027-0). With the temperatures of both places, the days are corrected before the model sees them, so
that a trained model stays as it is. Measurements: docs/decisions/0034-climate.md.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SceneError
from bocage.ranges import Range, check_ranges
from bocage.scene.thermal import DegreeDays, changed_at, check_season, season_of

SEASON = 365
"""Days of a season, counted from its start; a day after the last one is the last one."""
RIPE = 0.7
"""Share of the thermal time of the season after which the difference between both places goes back to none at its end.

In a warmer place, the thermal time of the whole season is reached in late summer: without this share, all images of the autumn
would be of its last day. Decided by the draws that choose (docs/decisions/0034-climate.md).
"""
AT_LEAST = 1.0
"""Growing degree days added to each day of both places.

Without them, a day in winter could be any day on which the sum of the other place does not grow. With them, days of both winters
go on in parallel, and the temperatures of the season (about 10 to 20 degree days a day) still decide.
"""


@dataclass(frozen=True)
class Temperatures:
    """Daily temperatures of the place, and those of the place and year whose days the model knows."""

    here: Path
    """CSV file with the columns ``date`` (2022-05-31) and ``temperature`` (daily mean, °C), one line per day, from the start of
    the season to the last image: the temperatures of this place."""
    like: Path
    """CSV file with the same columns: the temperatures where and when the model was trained, for a whole season. If it has
    several seasons, their mean counts."""
    base: Annotated[float, Range(-50, 50)] = 0.0
    """Base temperature, °C: lower temperatures count as 0 degree days."""
    cap: Annotated[float, Range(-50, 100)] = 30.0
    """Upper temperature threshold, °C, above `base`: higher temperatures count as this value."""
    start: str = "01-01"
    """Start of the season as month and day. For winter crops, which are sown in autumn: "10-01"."""

    def __post_init__(self) -> None:
        check_ranges(self)
        check_season(self.base, self.cap, self.start)

    def days(self, days: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the days of `like` that have the thermal time of `days` here, both in days since 1970-01-01.

        The season is the one here: only its days are those of `like`.

        Raises
        ------
        SceneError
            A table cannot be read, `here` has no temperature for some days, or `like` has no whole season.
        """
        days = np.asarray(days, np.int64)
        sums = _sums(self.like, self.base, self.cap, self.start, changed_at(self.like))
        starts = np.array([season_of(int(day), self.start) for day in days], np.int64)
        found = np.empty(len(days), np.int32)
        for start in np.unique(starts):
            of_season = starts == start
            passed = days[of_season] - start
            found[of_season] = start + np.rint(self._equal(int(start), int(passed.max()), sums)[passed])
        return found

    def _equal(self, start: int, last: int, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the day of the season of `like`, from 0, for each day of the season here from 0 to `last`."""
        here, passed = DegreeDays.of(self.here, self.base, self.cap), np.arange(last + 1)
        own = here.sums(start, start + last) + AT_LEAST * passed
        equal = np.interp(own, sums, np.arange(SEASON))
        ripe = int(np.searchsorted(equal, np.searchsorted(sums, RIPE * sums[-1])))
        if ripe <= last:
            equal[ripe:] = np.interp(passed[ripe:], (ripe, SEASON - 1), (equal[ripe], SEASON - 1))
        return equal

    @property
    def tables(self) -> tuple[Path, ...]:
        """Both tables."""
        return self.here, self.like


@functools.lru_cache(maxsize=16)
def _sums(path: Path, base: float, cap: float, start: str, changed: int) -> NDArray[np.float64]:
    """Return the thermal time at each day of the season, mean of the whole seasons of a table; (SEASON,), increasing."""
    daily = DegreeDays.of(path, base, cap)
    every = range(daily.first, daily.first + len(daily.values) - SEASON + 1)
    seasons = [daily.values[day - daily.first :][:SEASON] for day in every if season_of(day, start) == day]
    whole = [season for season in seasons if not np.isnan(season).any()]
    if not whole:
        raise SceneError(
            f"{path} has no whole season: it needs the temperature of each of {SEASON} days from {start}. Add the missing days, "
            "or set another 'start'."
        )
    return np.concatenate([[0.0], np.cumsum(np.mean(whole, 0) + AT_LEAST)[:-1]])
