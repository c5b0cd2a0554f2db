"""Daily temperatures, and the stage of crops that follows growing degree days instead of the calendar.

The crop calendar of :mod:`bocage.simulate.signatures` gives days of the year. They hold in the normal climate. In a simulation
with a `warmth`, a crop has the stage that it has in the normal climate at the same sum of growing degree days since 1 January,
above the base temperature of the crop (McMaster & Wilhelm 1997, doi:10.1016/S0168-1923(97)00027-0). Daily temperatures are an
annual cosine and a first-order autoregressive residual, as in the weather generator of Richardson 1981,
doi:10.1029/WR017i001p00182, here without its link to rain.
"""

from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bocage.days import EPOCH
from bocage.simulate.landscape import World
from bocage.simulate.noise import Floats, normal
from bocage.textfile import write_csv

MEAN, AMPLITUDE, WARMEST = 21.0, 3.0, 35
"""Normal climate: mean and amplitude in °C, day of the year of the maximum. La Réunion, a few hundred metres above the sea."""
RESIDUAL, PERSISTENCE = 1.5, 0.7
"""Standard deviation of the daily residual in °C, and its correlation with that of the day before."""
MEMORY = 30
"""Days after which a residual no longer matters: 0.7 to the power of 30 is below 0.0001."""
BASE = {1: 10.0, 2: 8.0, 3: 8.0}
"""Class code → base temperature in °C. Cane: Inman-Bamber 1994, doi:10.1016/0378-4290(94)90051-5; maize: CERES-Maize (Jones &
Kiniry 1986)."""
OTHERS, CAP = 5.0, 30.0
"""Base temperature of all other classes, and the daily mean above which no further degree days are counted, in °C."""
YEAR = 366


def temperature(world: World, days: NDArray[np.int64]) -> Floats:
    """Return the daily mean temperature in °C of days since 1970-01-01, with the `warmth` of the world, 0 if it has none."""
    memory = np.arange(MEMORY)
    innovations = normal(world.key, 121, days[:, None] - memory)
    residual = RESIDUAL * np.sqrt(1 - PERSISTENCE**2) * (innovations * PERSISTENCE**memory).sum(1)
    return np.asarray(normal_climate(_day_of_year(days)) + (world.warmth or 0.0) + residual)


def stages(world: World, day: int) -> Floats:
    """Return the stage of each class code, 0 to 13, on a day of the year (1 to 366): the day of that stage in the normal climate.

    Without a `warmth`, it is the day itself. Stages end at day 366: no second season starts before 1 January.
    """
    return np.full(14, float(day)) if world.warmth is None else _stages(world)[:, day - 1]


@lru_cache(maxsize=16)
def _stages(world: World) -> Floats:
    """Return the stage of each class code on each day of the year (14, 366)."""
    usual = normal_climate(np.arange(1, YEAR + 1))
    found = temperature(world, first_day(world.year) + np.arange(YEAR))
    every = np.arange(1, YEAR + 1, dtype=float)
    bases = [BASE.get(code, OTHERS) for code in range(14)]
    return np.array([np.interp(gathered(found, base), gathered(usual, base), every) for base in bases])


def gathered(temperatures: Floats, base: float) -> Floats:
    """Return the growing degree days from the first day to the day before each day."""
    return np.concatenate([[0.0], np.cumsum(np.clip(temperatures, base, CAP) - base)[:-1]])


def normal_climate(day: NDArray[np.int64]) -> Floats:
    """Return the normal temperature in °C of days of the year."""
    return np.asarray(MEAN + AMPLITUDE * np.cos(2 * np.pi * (day - WARMEST) / 365.25))


def _day_of_year(days: NDArray[np.int64]) -> NDArray[np.int64]:
    dates = days.astype("datetime64[D]")
    return np.asarray((dates - dates.astype("datetime64[Y]")).astype(np.int64) + 1)


def first_day(year: int) -> int:
    """Return 1 January of a year, in days since 1970-01-01."""
    return (date(year, 1, 1) - EPOCH).days


def write_temperatures(world: World, path: Path) -> None:
    """Write the daily mean temperatures of the year and of the year before (columns ``date``, ``temperature`` in °C)."""
    days = np.arange(first_day(world.year - 1), first_day(world.year + 1))
    values = temperature(world, days).round(1)
    write_csv(
        path,
        [
            ["date", "temperature"],
            *([str(d), float(t)] for d, t in zip(days.astype("datetime64[D]"), values, strict=True)),
        ],
    )
