"""Days that crops live by: the warmth gathered since the season's start, told to networks instead of the day of the year.

Where one year or place runs ahead of another, the same stage of a crop comes at another date and at much the same sum of
degree-days (McMaster & Wilhelm 1997, doi:10.1016/S0168-1923(97)00027-0); as a code of time for networks: Nyborg et al. 2022,
arXiv 2203.09175. Whatever else needs dates (filling, names, reports) keeps those of the calendar.
"""

import datetime
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.errors import SceneError

EPOCH = datetime.date(1970, 1, 1)
LAST = 364
"""Latest thermal day after the start."""
HOLES = 5
"""Most days in a row without a temperature, which is then interpolated."""


@dataclass(frozen=True)
class Thermal:
    """Where the warmth comes from, and how it is counted."""

    temperature: Path
    """CSV with the columns ``date`` (2022-05-31) and ``temperature`` (mean of the day, °C), a line a day."""
    base: float = 0.0
    """°C below which nothing grows."""
    cap: float = 30.0
    """°C above which more warmth adds nothing, above `base`."""
    start: str = "01-01"
    """Month and day from which warmth is summed up; winter crops are sown in autumn: "10-01"."""
    degrees: float = 10.0
    """Degree-days that make one thermal day, above 0: choose it so that a year of your climate stays below 364."""

    def __post_init__(self) -> None:
        if self.degrees <= 0:
            raise ValueError(f"'degrees' is above 0; found {self.degrees:g}")
        if self.cap <= self.base:
            raise ValueError(f"'cap' is above 'base'; found {self.cap:g} and {self.base:g}")
        try:
            datetime.datetime.strptime(f"2023-{self.start}", "%Y-%m-%d")
        except ValueError:
            raise ValueError(f"'start' is a month and a day such as 10-01; found '{self.start}'") from None

    def days(self, days: NDArray[np.int32]) -> NDArray[np.int32]:
        """Turn days since 1970-01-01 into thermal ones: 1 January of the year the season starts in, plus a day per `degrees`.

        Raises
        ------
        SceneError
            The table cannot be read, or has no temperature for some days.
        """
        first, warmth = _warmth(self.temperature, self.base, self.cap, self.temperature_changed)
        return np.array([self._day(int(day), first, warmth) for day in days], np.int32)

    @property
    def temperature_changed(self) -> int:
        """When the table was last written, in nanoseconds; 0 where it is missing."""
        return self.temperature.stat().st_mtime_ns if self.temperature.exists() else 0

    def told(self) -> str:
        """What a model folder keeps of it: how warmth is counted, not which table it came from."""
        return f"thermal, base {self.base:g} °C, cap {self.cap:g} °C, since {self.start}, {self.degrees:g} °C days"

    def _day(self, day: int, first: int, warmth: NDArray[np.float64]) -> int:
        date = EPOCH + datetime.timedelta(day)
        month, of_month = (int(part) for part in self.start.split("-"))
        year = date.year - ((date.month, date.day) < (month, of_month))
        start = (datetime.date(year, month, of_month) - EPOCH).days
        if start < first or day >= first + len(warmth) or np.isnan(warmth[start - first : day + 1 - first]).any():
            since = EPOCH + datetime.timedelta(start)
            raise SceneError(
                f"{self.temperature} has not the temperature of every day from {since} to {date}, which thermal "
                "days need. Add them, or take another 'start'."
            )
        total = float(warmth[start - first : day - first].sum())
        return (datetime.date(year, 1, 1) - EPOCH).days + min(LAST, round(total / self.degrees))


@functools.lru_cache(maxsize=16)
def _warmth(path: Path, base: float, cap: float, changed: int) -> tuple[int, NDArray[np.float64]]:
    """First day of the table, and degree-days of every day from there; NaN in long holes."""
    try:
        table: Any = pd.read_csv(path, parse_dates=["date"])
        mean = table.set_index("date")["temperature"].astype(float)
        mean = mean[~mean.index.duplicated()].sort_index()
        daily = mean.resample("D").mean()
    except FileNotFoundError:
        raise SceneError(f"{path} does not exist: it is to hold the temperature of every day.") from None
    except (KeyError, ValueError, TypeError) as error:
        raise SceneError(
            f"{path} cannot be read as temperatures ({error}): it needs the columns date (2022-05-31) and temperature (°C)."
        ) from error
    holes = daily.isna()
    length = holes.groupby((~holes).cumsum()).transform("sum")
    filled = daily.interpolate().where(~holes | (length <= HOLES))
    return (daily.index[0].date() - EPOCH).days, np.clip(filled.to_numpy() - base, 0.0, cap - base)
