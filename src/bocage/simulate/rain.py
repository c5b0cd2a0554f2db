"""Daily rain, and a season of crops and grass that begins and ends with it.

In a simulation with `rains`, maize is rain-fed. It is sown up to a month after the onset of the rains, by the rule of Sivakumar
1988, doi:10.1016/0168-1923(88)90039-1, develops with the degree days since the onset, and dries out after the end of the rains.
Other vegetation follows the antecedent precipitation index (Kohler & Linsley 1951). Gardens are irrigated. The end of the rainy
season does not move: late rains make a short season, as in the data of Sivakumar.

Rain is a first-order Markov chain of wet and dry days with gamma-distributed amounts, as in the weather generator of Richardson
1981, doi:10.1029/WR017i001p00182; wet days have a small difference between maximum and minimum temperature.
"""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from bocage.days import EPOCH
from bocage.simulate.climate import first_day, temperature
from bocage.simulate.landscape import World
from bocage.simulate.noise import Floats, normal, uniform
from bocage.textfile import write_csv

START = (9, 1)
"""Month and day in the dry season, the first of a month: the chain runs and the onset of the rains is searched from it."""
BEGIN, END, STEEP = 136.0, 271.0, 5.0
"""Normal middle of the begin and the end of the rainy season (15 January and 30 May), and their width; days since ``START``."""
WET_AFTER_DRY, WET_AFTER_WET, AMOUNT = (0.02, 0.35), (0.15, 0.65), (4.0, 12.0)
"""In the dry and in the rainy season: probabilities of a wet day, and mean rain of a wet day in mm."""
SHAPE = 0.75
"""Shape of the gamma distribution of the rain of a wet day."""
RANGE, RANGE_SPREAD = (12.0, 7.0), 1.5
"""Maximum minus minimum temperature of dry and wet days, and its standard deviation, °C."""
ONSET_RAIN, ONSET_DAYS, SPELL, WATCHED = 20.0, 3, 7, 30
"""The onset: this rain (mm) within these days, and no longer dry spell (days) in the days after it that are watched."""
RAINY, LEAST, WITHOUT = 1.0, 60, 20
"""Least rain of a rainy day in mm; least days from the onset to the end of the rains; days without rain after the end."""
FIRST_STAGE, BASE, USUAL = 5.0, 8.0, 15.0
"""Stage at the onset, as a day of the crop calendar; base temperature (°C), and degree days of a day of the normal climate."""
RECESSION, HALF_WET, LEAF_DAYS = 0.95, 40.0, 12.0
"""Antecedent precipitation index: daily factor; index in mm at which moisture is 1 - 1/e; delay of leaves in days."""


@dataclass(frozen=True)
class Water:
    """What the rain does to vegetation on a day."""

    stage: float
    """Stage of rain-fed crops that are sown on the usual day after the onset: a day of the crop calendar."""
    since_end: float
    """Days since the end of the rains; negative before it."""
    moisture: float
    """Moisture that leaves have responded to, 0 to 1."""


def rain(world: World, days: NDArray[np.int64]) -> Floats:
    """Return the rain in mm of days since 1970-01-01; the rainy season is that of the world."""
    first = {int(season): _start(int(season)) for season in np.unique(_seasons(days))}
    return np.array([_season(world, int(s))[day - first[int(s)]] for s, day in zip(_seasons(days), days, strict=True)])


def _start(year: int) -> int:
    return (date(year, *START) - EPOCH).days


def _seasons(days: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the year in which the season of each day starts."""
    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return np.asarray(1970 + (months - (START[0] - 1)) // 12)


@lru_cache(maxsize=64)
def _season(world: World, year: int) -> Floats:
    """Return the rain of the days of the season that starts in a year, in mm, one decimal."""
    days = np.arange(_start(year), _start(year + 1))
    passed = days - days[0]
    season = _rise(passed - BEGIN - (world.rains or 0)) * _rise(END - passed)
    dry, wet, amount = (low + (high - low) * season for low, high in (WET_AFTER_DRY, WET_AFTER_WET, AMOUNT))
    draw, falls, state = uniform(world.key, 131, days), np.zeros(len(days), bool), False
    for k in range(len(days)):
        state = falls[k] = bool(draw[k] < (wet if state else dry)[k])
    quantity = gammaincinv(SHAPE, uniform(world.key, 132, days)) / SHAPE
    return np.asarray(np.round(falls * quantity * amount * world.wetness, 1))


def _rise(days: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-days / STEEP)))


def onset(fallen: Floats) -> int:
    """Return the onset of the rains: the first day, by its position, after three days with 20 mm and no dry spell above 7 days.

    Dry spells are searched in the 30 days after it. If there is no such day, the rule without dry spells decides; without 20 mm
    in three days, the day until which half of the rain of the season has fallen.
    """
    summed = np.convolve(fallen, np.ones(ONSET_DAYS))[: len(fallen)]
    enough = np.flatnonzero(summed >= ONSET_RAIN)
    for day in enough:
        if _longest_dry(fallen[day + 1 : day + 1 + WATCHED]) <= SPELL:
            return int(day)
    return int(enough[0]) if len(enough) else int(np.searchsorted(np.cumsum(fallen), fallen.sum() / 2))


def _longest_dry(fallen: Floats) -> int:
    longest = run = 0
    for mm in fallen:
        run = 0 if mm >= RAINY else run + 1
        longest = max(longest, run)
    return longest


def end(fallen: Floats, begin: int) -> int:
    """Return the end of the rains: the first day, 60 days after the onset or later, that 20 days without rain follow."""
    for day in range(begin + LEAST, len(fallen)):
        if (fallen[day + 1 : day + 1 + WITHOUT] < RAINY).all():
            return day
    return len(fallen) - 1


def water(world: World, day: int) -> Water:
    """Return the water of vegetation on a day of the year (1 to 366)."""
    stage, since_end, moisture = _water(world)[:, day - 1]
    return Water(float(stage), float(since_end), float(moisture))


@lru_cache(maxsize=16)
def _water(world: World) -> Floats:
    """Return stage, days since the end of the rains and moisture (3, 366) of each day of the year."""
    first, before = first_day(world.year), _start(world.year - 1)
    days = np.arange(before, first + 366)
    season = _season(world, world.year - 1)
    begin = onset(season)
    passed = np.arange(len(days), dtype=float) - begin
    gathered = np.cumsum(np.maximum(0, temperature(world, days) - BASE)) / USUAL
    stage = FIRST_STAGE + np.where(passed > 0, gathered - gathered[begin], passed)
    moisture = _moisture(rain(world, days))
    every = np.stack([np.clip(stage, -60, 250), passed - (end(season, begin) - begin), moisture])
    return every[:, first - before :]


def _moisture(fallen: Floats) -> Floats:
    """Return the moisture that leaves have responded to, 0 to 1, from dry soil on the first day."""
    index = leaves = 0.0
    found = np.empty(len(fallen))
    for k, mm in enumerate(fallen):
        index = RECESSION * index + mm
        leaves += (1 - np.exp(-index / HALF_WET) - leaves) / LEAF_DAYS
        found[k] = leaves
    return found


def write_weather(world: World, path: Path) -> None:
    """Write the daily weather of the year and of the year before.

    The columns are ``date``, ``temperature`` (mean), ``tmin`` and ``tmax`` in °C, and ``rain`` in mm.
    """
    days = np.arange(first_day(world.year - 1), first_day(world.year + 1))
    mean, fallen = temperature(world, days), rain(world, days)
    spread = np.maximum(
        2.0, np.where(fallen >= RAINY, RANGE[1], RANGE[0]) + RANGE_SPREAD * normal(world.key, 133, days)
    )
    columns = [mean, mean - spread / 2, mean + spread / 2, fallen]
    rows = zip(days.astype("datetime64[D]"), *(column.round(1) for column in columns), strict=True)
    write_csv(
        path, [["date", "temperature", "tmin", "tmax", "rain"], *([str(d), *map(float, rest)] for d, *rest in rows)]
    )
