"""Thermal days: growing degree days since the start of the season replace the day of the year as input of networks.

Crops reach the same phenological stage on different dates in different years and places, but at a similar sum of growing degree
days (McMaster & Wilhelm 1997, doi:10.1016/S0168-1923(97)00027-0). Growing degree days as the time encoding of networks: Nyborg
et al. 2022, arXiv 2203.09175. Gap filling, date names and reports keep calendar dates.
"""

import datetime
import functools
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.errors import SceneError
from bocage.ranges import Range, check_ranges
from bocage.sources.times import read_times
from bocage.textfile import read_text, separator_of

EPOCH = datetime.date(1970, 1, 1)
LAST = 364
"""Maximum thermal day, counted from 0. Later dates get this day."""
HOLES = 5
"""Maximum number of consecutive days without a temperature that are interpolated."""


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
        if self.cap <= self.base:
            raise ValueError(f"'cap' must be above 'base'; found {self.cap:g} and {self.base:g}")
        try:
            datetime.datetime.strptime(f"2023-{self.start}", "%Y-%m-%d")
        except ValueError:
            raise ValueError(f"'start' must be a month and a day such as 10-01; found '{self.start}'") from None

    def days(self, days: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the thermal days of calendar days, both in days since 1970-01-01.

        A thermal day is 1 January of the year in which the season starts, plus one day per `degrees` growing degree days from
        the start of the season, at most ``LAST``.

        Raises
        ------
        SceneError
            The table cannot be read, or has no temperature for some days.
        """
        first, degree_days = _degree_days(self.temperature, self.base, self.cap, self.temperature_changed)
        return np.array([self._day(int(day), first, degree_days) for day in days], np.int32)

    @property
    def temperature_changed(self) -> int:
        """Modification time of the table in nanoseconds; 0 if the table is missing."""
        return self.temperature.stat().st_mtime_ns if self.temperature.exists() else 0

    def told(self) -> str:
        """Return the text that a model folder stores: the parameters of growing degree days, without the path of the table."""
        return f"thermal, base {self.base:g} °C, cap {self.cap:g} °C, since {self.start}, {self.degrees:g} °C days"

    def _day(self, day: int, first: int, degree_days: NDArray[np.float64]) -> int:
        date = EPOCH + datetime.timedelta(day)
        month, of_month = (int(part) for part in self.start.split("-"))
        year = date.year - ((date.month, date.day) < (month, of_month))
        start = (datetime.date(year, month, of_month) - EPOCH).days
        if (
            start < first
            or day >= first + len(degree_days)
            or np.isnan(degree_days[start - first : day + 1 - first]).any()
        ):
            since = EPOCH + datetime.timedelta(start)
            raise SceneError(
                f"{self.temperature} lacks the temperature of some days from {since} to {date}, which thermal days need. "
                "Add them, or set another 'start'."
            )
        total = float(degree_days[start - first : day - first].sum())
        return (datetime.date(year, 1, 1) - EPOCH).days + min(LAST, round(total / self.degrees))


@functools.lru_cache(maxsize=16)
def _degree_days(path: Path, base: float, cap: float, changed: int) -> tuple[int, NDArray[np.float64]]:
    """Return the first day of the table, and the growing degree days of each day from it; NaN in gaps longer than ``HOLES``."""
    try:
        text = read_text(path)
        table: Any = pd.read_csv(io.StringIO(text), sep=separator_of(text), dtype={"date": str}, skipinitialspace=True)
        times = np.array(read_times(table["date"].fillna("").tolist()), "datetime64[us]")
        mean = pd.Series(table["temperature"].astype(float).to_numpy(), pd.DatetimeIndex(times))
        mean = mean[~mean.index.duplicated()].sort_index()
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
