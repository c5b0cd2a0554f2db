"""Thermal days: growing degree days since the start of the season replace the day of the year as input of networks.

Crops reach the same phenological stage on different dates in different years and places, but at a similar sum of growing degree
days (McMaster & Wilhelm 1997, doi:10.1016/S0168-1923(97)00027-0). Growing degree days as the time encoding of networks: Nyborg
et al. 2022, arXiv 2203.09175. Gap filling, date names and reports keep calendar dates.
"""

import datetime
import functools
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.days import EPOCH, date_of
from bocage.errors import SceneError
from bocage.ranges import Range, check_ranges
from bocage.sources.times import read_times
from bocage.textfile import read_text, separator_of

LAST = 364
"""Maximum thermal day, counted from 0. Later dates get this day."""
HOLES = 5
"""Maximum number of consecutive days without a temperature that are interpolated."""
POSSIBLE = (-90.0, 60.0)
"""Lowest and highest daily mean temperature that a table may have, °C."""


@dataclass(frozen=True)
class Thermal:
    """Source of daily temperatures, and parameters of growing degree days."""

    temperature: Path
    """CSV file with the columns ``date`` (2022-05-31) and ``temperature`` (daily mean, °C), one line per day."""
    base: Annotated[float, Range(-50, 50)] = 0.0
    """Base temperature, °C: lower temperatures count as 0 degree days."""
    cap: Annotated[float, Range(-50, 100)] = 30.0
    """Upper temperature threshold, °C, above `base`: higher temperatures count as this value."""
    start: str = "01-01"
    """Start of the season as month and day. For winter crops, which are sown in autumn: "10-01"."""
    degrees: Annotated[float, Range(0, 1000, above=True)] = 10.0
    """Growing degree days per thermal day, above 0. Choose it so that a year of your climate has less than 364 thermal days."""

    def __post_init__(self) -> None:
        check_ranges(self)
        check_season(self.base, self.cap, self.start)

    def days(self, days: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the thermal days of calendar days, both in days since 1970-01-01.

        A thermal day is 1 January of the year in which the season starts, plus one day per `degrees` growing degree days from
        the start of the season, at most ``LAST``.

        Raises
        ------
        SceneError
            The table cannot be read, or has no temperature for some days.
        """
        passed = np.minimum(LAST, np.rint(self._sums(days) / self.degrees))
        years = [date_of(season_of(int(day), self.start)).year for day in days]
        first = np.array([(datetime.date(year, 1, 1) - EPOCH).days for year in years])
        return np.asarray(first + passed, np.int32)

    def late(self, days: NDArray[np.int32]) -> int:
        """Return the number of `days` after thermal day ``LAST``, which all get this day."""
        return int((self._sums(days) > (LAST + 0.5) * self.degrees).sum())

    def enough(self, days: NDArray[np.int32]) -> int:
        """Return whole `degrees` with which none of `days` is after thermal day ``LAST``."""
        return math.ceil(float(self._sums(days).max()) / LAST)

    def _sums(self, days: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return the growing degree days of each of `days`, since the start of its season."""
        daily = DegreeDays.of(self.temperature, self.base, self.cap)
        return np.array([daily.sums(season_of(int(day), self.start), int(day))[-1] for day in days])

    def told(self) -> str:
        """Return the text that a model folder stores: the parameters of growing degree days, without the path of the table."""
        return f"thermal, base {self.base:g} °C, cap {self.cap:g} °C, since {self.start}, {self.degrees:g} °C days"


@dataclass(frozen=True)
class DegreeDays:
    """Growing degree days of each day of a table of temperatures."""

    path: Path
    """The table."""
    first: int
    """First day, in days since 1970-01-01."""
    values: NDArray[np.float64]
    """(days,) growing degree days; NaN in gaps longer than ``HOLES``."""

    @classmethod
    def of(cls, path: Path, base: float, cap: float) -> "DegreeDays":
        """Read a table of temperatures.

        Raises
        ------
        SceneError
            The table cannot be read.
        """
        return cls(path, *_degree_days(path, base, cap, changed_at(path)))

    def sums(self, start: int, day: int) -> NDArray[np.float64]:
        """Return the growing degree days before each day from `start` to `day`, both in days since 1970-01-01; the first is 0.

        Raises
        ------
        SceneError
            The table lacks the temperature of some days until `day`.
        """
        before, until = start - self.first, day - self.first
        if before < 0 or until >= len(self.values) or np.isnan(self.values[before : until + 1]).any():
            dates = (date_of(one) for one in (start, day))
            raise SceneError(
                f"{self.path} lacks the temperature of some days from {' to '.join(map(str, dates))}, which thermal days need. "
                "Add them, or set another 'start'."
            )
        return np.concatenate([[0.0], np.cumsum(self.values[before:until])])


def changed_at(path: Path) -> int:
    """Return the modification time of a table in nanoseconds; 0 if it is missing."""
    return path.stat().st_mtime_ns if path.exists() else 0


def check_season(base: float, cap: float, start: str) -> None:
    """Check the parameters of growing degree days: two temperatures in °C, and the month and day of the start of the season.

    Raises
    ------
    ValueError
        `cap` is not above `base`, or `start` is not a month and a day.
    """
    if cap <= base:
        raise ValueError(f"'cap' must be above 'base'; found {cap:g} and {base:g}")
    try:
        datetime.datetime.strptime(f"2023-{start}", "%Y-%m-%d")
    except ValueError:
        raise ValueError(f"'start' must be a month and a day such as 10-01; found '{start}'") from None


def season_of(day: int, start: str) -> int:
    """Return the first day of the season that contains `day`, both in days since 1970-01-01; `start` as 10-01."""
    date, (month, of_month) = date_of(day), map(int, start.split("-"))
    year = date.year - ((date.month, date.day) < (month, of_month))
    return (datetime.date(year, month, of_month) - EPOCH).days


@functools.lru_cache(maxsize=16)
def _degree_days(path: Path, base: float, cap: float, changed: int) -> tuple[int, NDArray[np.float64]]:
    """Return the first day of the table, and the growing degree days of each day from it; NaN in gaps longer than ``HOLES``."""
    try:
        text = read_text(path)
        table: Any = pd.read_csv(io.StringIO(text), sep=separator_of(text), dtype={"date": str}, skipinitialspace=True)
        times = np.array(read_times(table["date"].fillna("").tolist()), "datetime64[us]")
        mean = pd.Series(table["temperature"].astype(float).to_numpy(), pd.DatetimeIndex(times))
        mean = mean[~mean.index.duplicated()].sort_index()
        _check_celsius(mean)
        daily = mean.resample("D").mean()
    except FileNotFoundError:
        raise SceneError(
            f"{path} does not exist. Set 'temperature' to a table with the temperature of each day."
        ) from None
    except (KeyError, ValueError, TypeError) as error:
        raise SceneError(
            f"{path} cannot be read as temperatures ({error}). It needs the columns date (2022-05-31) and temperature (°C)."
        ) from error
    holes = daily.isna()
    length = holes.groupby((~holes).cumsum()).transform("sum")
    filled = daily.interpolate().where(~holes | (length <= HOLES))
    return (daily.index[0].date() - EPOCH).days, np.clip(filled.to_numpy() - base, 0.0, cap - base)


def _check_celsius(temperature: "pd.Series[float]") -> None:
    """Check the temperatures of a table; some may be missing.

    Raises
    ------
    ValueError
        There is none, or one is infinite or cannot be in °C.
    """
    if temperature.isna().all():
        raise ValueError("it has no temperature")
    low, high = POSSIBLE
    wrong = temperature[(temperature < low) | (temperature > high)]
    if len(wrong):
        kelvin = "; temperatures in kelvin need minus 273.15" if wrong.between(200, 340).all() else ""
        raise ValueError(
            f"{wrong.iloc[0]:g} on {wrong.index[0]:%Y-%m-%d} is no temperature in °C, of {low:g} to {high:g}{kelvin}; "
            "a missing value is an empty cell"
        )
