"""Trends and anomalies of a spectral index in parcels, from the clear dates of several years.

The index of a parcel at a date is the mean over its clear pixels, each weighted by the part that is inside. A date counts if
enough of the parcel is clear. A season needs a minimum number of such dates, without a long gap. Its integral is that of the
straight lines between them, with the first and the last value up to the ends of the season; its mean is the integral over the
length of the season.
"""

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from bocage.days import EPOCH, date_of
from bocage.errors import FinishError
from bocage.finish.zones import Zones, box_of, inside
from bocage.progress import QUIET, Progress
from bocage.scene import Cube, Preparation, block_by_block
from bocage.scene.indices import INDICES, bands_of
from bocage.sources import Source
from bocage.sources.source import with_bands

Statistic = Literal["mean", "max", "integral"]
STATISTICS: tuple[Statistic, ...] = ("mean", "max", "integral")
TILE, DATES = 256, 32
"""Side in pixels and number of dates of the blocks that are read: memory does not depend on the number of dates."""
FEWEST = 3
"""Minimum number of years for a slope, and of other years for an anomaly."""
CERTAIN = 5
"""Minimum number of years for a 95 % interval of the slope: of fewer years, no order has a probability below 5 %."""
ROBUST = 1.4826
"""Standard deviation over the median absolute deviation, of a normal distribution."""


@dataclass(frozen=True)
class Season:
    """A part of every year, between two days, both included. If it ends before it starts, it is that of the year of its end.

    >>> Season((10, 1), (3, 31)).year_of(datetime.date(2020, 11, 5))
    2021
    """

    start: tuple[int, int] = (1, 1)
    """Month and day."""
    end: tuple[int, int] = (12, 31)
    """Month and day."""

    @property
    def _wraps(self) -> bool:
        return self.end < self.start

    def year_of(self, day: datetime.date) -> int | None:
        """Return the year whose season a day is in; None outside."""
        at = (day.month, day.day)
        if self._wraps:
            return day.year + 1 if at >= self.start else day.year if at <= self.end else None
        return day.year if self.start <= at <= self.end else None

    def bounds(self, year: int) -> tuple[int, int]:
        """Return the first and the last day of the season of a year, in days since 1970-01-01."""
        ends = (datetime.date(year - self._wraps, *self.start), datetime.date(year, *self.end))
        first, last = ((day - EPOCH).days for day in ends)
        return first, last


@dataclass(frozen=True)
class Settings:
    """What is computed."""

    index: str = "ndvi"
    """A spectral index (``bocage indices``)."""
    season: Season = Season()
    clear: float = 0.5
    """Share of a parcel that must be clear for a date to count, above 0 and at most 1."""
    dates: int = 3
    """Number of such dates that a season needs, at least 1."""
    gap: int = 60
    """Number of days between two such dates, or up to the ends of the season, above which the season has no value, at least 1."""
    statistic: Statistic = "mean"
    """Statistic of the season whose trend and anomalies are computed."""


@dataclass(frozen=True)
class Observations:
    """Index of parcels at dates."""

    days: NDArray[np.int64]
    """Days since 1970-01-01, in order (D,)."""
    clear: NDArray[np.float64]
    """Share of each parcel that is clear (P, D)."""
    total: NDArray[np.float64]
    """Sum of the index over the clear pixels, weighted by their share of the parcel (P, D)."""
    inside: NDArray[np.float64] | None = None
    """Share of each parcel that is on the grid of the source (P,); None: all of it."""

    def values(self) -> NDArray[np.float64]:
        """Return the mean index over the clear pixels (P, D); NaN without one."""
        none = np.full(self.total.shape, np.nan)
        return np.asarray(np.divide(self.total, self.clear, out=none, where=self.clear > 0))

    @classmethod
    def together(cls, parts: Sequence["Observations"]) -> "Observations":
        """Return the observations of the same parcels by several sources; those of one day are added.

        Where sources overlap, as tiles of a satellite do, they see the same pixels of a parcel: its clear share is then the mean,
        or the largest one, and not the sum.
        """
        days = np.unique(np.concatenate([one.days for one in parts]))
        clear, total, inside, most = np.zeros((4, len(parts[0].clear), len(days)))
        for one in parts:
            for k, day in enumerate(np.searchsorted(days, one.days)):  # a day can come twice
                clear[:, day] += one.clear[:, k]
                total[:, day] += one.total[:, k]
                inside[:, day] += 1.0 if one.inside is None else one.inside
                most[:, day] = np.maximum(most[:, day], one.clear[:, k])
        once = np.maximum(most, clear / np.where(inside > 1 + 1e-6, inside, 1.0))
        return cls(days, once, total * np.divide(once, clear, out=np.zeros_like(clear), where=clear > 0))


@dataclass(frozen=True)
class Years:
    """Statistics of each season (P, Y)."""

    years: tuple[int, ...]
    dates: NDArray[np.int64]
    """Number of clear dates."""
    gap: NDArray[np.int64]
    """Largest number of days of the season between two clear dates, or up to its ends."""
    values: Mapping[Statistic, NDArray[np.float64]]
    """Statistic → its values; NaN with too few clear dates or a long gap."""


@dataclass(frozen=True)
class Trends:
    """Trend of each parcel (P,), and anomaly of each year (P, Y)."""

    slope: NDArray[np.float64]
    """Change of the statistic per year (Theil–Sen); NaN with too few years."""
    low: NDArray[np.float64]
    """Lower end of its 95 % interval; NaN with too few years."""
    high: NDArray[np.float64]
    """Upper end."""
    p: NDArray[np.float64]
    """Two-sided p-value of the Mann–Kendall test."""
    count: NDArray[np.int64]
    """Number of years with a value."""
    anomaly: NDArray[np.float64]
    """Difference from the median of the other years, over their robust standard deviation."""


def cube_for(cube: Cube, settings: Settings) -> Cube:
    """Return the cube of the index alone at the acquisition dates: gaps stay gaps, and only the bands of the index are read."""
    source, bands = cube.source, bands_of(INDICES.get(settings.index))
    if isinstance(source, Source):
        source = with_bands(source, list(bands))
    preparation = Preparation((settings.index,), resampling=cube.preparation.resampling)
    return Cube(source, cube.grid, cube.ratio, preparation, None, (settings.index,))


def observe(cube: Cube, parcels: Zones, settings: Settings, progress: Progress) -> Observations:
    """Return the index of parcels, in the CRS of the cube, at the dates of its seasons.

    Raises
    ------
    SourceError
        A file cannot be read.
    """
    groups = list(_groups(cube, settings.season))
    days = np.concatenate([group.days[kept] for group, kept in groups]) if groups else np.zeros(0)
    clear, total = np.zeros((2, len(parcels), len(days)))
    covered = np.zeros(len(parcels))
    size, tree, tiles = shapely.area(parcels.shapes), shapely.STRtree(parcels.shapes), block_by_block(cube, TILE)
    for done, tile in enumerate(tiles, start=1):
        near = np.sort(tree.query(shapely.box(*cube.grid.crop(tile).bounds), predicate="intersects"))
        parts = {int(k): _part(parcels.shapes[k], cube, tile) for k in near}
        for k, (_, weight) in parts.items():
            covered[k] += weight.sum() * cube.grid.resolution**2 / size[k]
        at = 0
        for group, kept in groups if parts else ():
            block = group.read(tile)
            values, valid = block.values[kept, 0].reshape(kept.sum(), -1), block.valid[kept].reshape(kept.sum(), -1)
            for k, (place, weight) in parts.items():
                seen = valid[:, place] * (weight * cube.grid.resolution**2 / size[k])
                clear[k, at : at + len(values)] += seen.sum(1)
                total[k, at : at + len(values)] += (seen * values[:, place]).sum(1)
            at += len(values)
        progress.step(f"{cube.name}: {settings.index} of parcels", done, len(tiles))
    return Observations(days.astype(np.int64), clear, total, covered)


def _groups(cube: Cube, season: Season) -> Iterator[tuple[Cube, NDArray[np.bool_]]]:
    """Yield cubes of some dates each, and which of their dates are in a season."""
    source = cube.source
    kept = np.array([season.year_of(date_of(day)) is not None for day in source.days], bool)
    if not isinstance(source, Source):
        if kept.any():
            yield cube, kept
        return
    dates = [source.dates[k] for k in np.flatnonzero(kept)]
    for start in range(0, len(dates), DATES):
        part = dates[start : start + DATES]
        chosen = tuple(source.acquisitions[k] for members in part for k in members)
        yield replace(cube, source=replace(source, acquisitions=chosen)), np.ones(len(part), bool)


def _part(shape: Any, cube: Cube, tile: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the pixels of a tile (flat) that a parcel touches, and the share of each that is inside."""
    window = box_of(shape, cube.grid).clip_to(tile)
    if not (window.height and window.width):
        return np.zeros(0, np.int64), np.zeros(0)
    grid = cube.grid.crop(window)
    place, weight = inside(shapely.intersection(shape, shapely.box(*grid.bounds)), grid)
    row, column = np.divmod(place, window.width)
    return (row + window.y - tile.y) * tile.width + column + window.x - tile.x, weight


def yearly(observed: Observations, settings: Settings) -> Years:
    """Return the statistics of each season, from the first to the last year with a date.

    Raises
    ------
    FinishError
        No date is in a season.
    """
    season = settings.season
    if not len(observed.days):
        raise FinishError("No date of the sources is in the season. Change --start and --end.")
    of = np.array([season.year_of(date_of(day)) for day in observed.days])
    years = tuple(range(int(of.min()), int(of.max()) + 1))
    values, counts = observed.values(), observed.clear >= settings.clear - 1e-9
    shape = (len(values), len(years))
    dates, gap = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    found = {name: np.full(shape, np.nan) for name in STATISTICS}
    for y, year in enumerate(years):
        first, last = season.bounds(year)
        for p in range(len(values)):
            use = (of == year) & counts[p]
            days, series = observed.days[use], values[p, use]
            dates[p, y] = len(days)
            gap[p, y] = np.diff(np.concatenate([[first], days, [last]])).max()
            if len(days) >= settings.dates and gap[p, y] <= settings.gap:
                line = np.interp(np.arange(first, last + 1), days, series)
                integral = float(np.trapezoid(line))
                for name, value in zip(STATISTICS, (integral / (last - first), series.max(), integral), strict=True):
                    found[name][p, y] = value
    return Years(years, dates, gap, found)


def trends(found: Years, statistic: Statistic, progress: Progress = QUIET) -> Trends:
    """Return the trend of each parcel and the anomaly of each year.

    The slope and its interval are those of Theil and Sen (Sen 1968, doi:10.1080/01621459.1968.10480934), the p-value is that of
    the Mann–Kendall test (Mann 1945, doi:10.2307/1907187). An anomaly is the difference from the median of the other years in
    units of 1.4826 times their median absolute deviation; a trend is not removed before.
    """
    values, years = found.values[statistic], np.array(found.years)
    rows = []
    for done, row in enumerate(values, start=1):
        known = ~np.isnan(row)
        rows.append(_trend(years[known], row[known]))
        progress.step("trends", done, len(values))
    slope, low, high, p = np.array(rows).reshape(-1, 4).T
    anomaly = np.array([[_anomaly(row, y) for y in range(len(row))] for row in values]).reshape(values.shape)
    return Trends(slope, low, high, p, (~np.isnan(values)).sum(1), anomaly)


def _trend(years: NDArray[Any], values: NDArray[Any]) -> tuple[float, float, float, float]:
    """Return slope, ends of its interval and p-value; NaN where years are too few."""
    from scipy import stats

    if len(years) < FEWEST:
        return (math.nan,) * 4
    sen = stats.theilslopes(values, years, 0.95)
    ends = (sen.low_slope, sen.high_slope) if len(years) >= CERTAIN else (math.nan, math.nan)
    p = stats.kendalltau(years, values).pvalue if np.ptp(values) else 1.0
    return float(sen.slope), float(ends[0]), float(ends[1]), float(p)


def _anomaly(values: NDArray[Any], own: int) -> float:
    """Return the anomaly of a year against the others; NaN if they are too few or all alike."""
    others = np.delete(values, own)
    others = others[~np.isnan(others)]
    if np.isnan(values[own]) or len(others) < FEWEST:
        return math.nan
    middle = np.median(others)
    spread = ROBUST * float(np.median(np.abs(others - middle)))
    return float((values[own] - middle) / spread) if spread > 1e-12 else math.nan
