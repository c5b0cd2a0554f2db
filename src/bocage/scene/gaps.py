"""Gap filling: linear interpolation or Whittaker smoothing of the clear dates of a series onto regular dates.

Linear interpolation is in use for country-wide maps (Inglada et al. 2017, doi:10.3390/rs9010095). The Whittaker
smoother (Eilers 2003, doi:10.1021/ac034173t) balances fidelity to the clear dates and roughness. Here its
unknowns are the values at regular dates over the whole series, and the model of an observation is the linear interpolation
between them.

The kernels are compiled by numba, release the global interpreter lock and process a block of pixels at a time. The pixels of a
window are divided among threads.
"""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from bocage.machine import cores
from bocage.ranges import Range, check_ranges
from bocage.sources.base import YEARS

BLOCK = 192
"""Pixels filled together: enough for contiguous memory access, few enough for all dates of a band to stay in the CPU cache."""
MOST = 10_000
"""Maximum number of regular dates."""
WORTH_SHARING = 1 << 20
"""Number of filled values above which the pixels of a window are divided among threads."""


@dataclass(frozen=True)
class Fill:
    """Gap filling onto regular dates: every `every` days from `start` to `end`. `end` is included if a step falls on it."""

    every: Annotated[int, Range(1, 3660)]
    """Step between two dates in days, at least 1."""
    start: date
    """First regular date."""
    end: date
    """Last day, not before `start`. It is a regular date if a step falls on it."""
    method: Literal["linear", "whittaker"] = "linear"
    """Linear interpolation between clear dates, or Whittaker smoothing."""
    smoothing: Annotated[float, Range(0, 1e9, above=True)] = 1.0
    """Whittaker penalty on the second differences of neighbouring dates, above 0. A larger penalty gives a smoother curve."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.end < self.start:
            raise ValueError(f"'end' ({self.end}) is before 'start' ({self.start})")
        if not YEARS[0] <= self.start.year <= self.end.year <= YEARS[1]:
            raise ValueError(f"dates must be from {YEARS[0]} to {YEARS[1]}; found {self.start} to {self.end}")
        dates = (self.end - self.start).days // self.every + 1
        if dates > MOST:
            raise ValueError(f"at most {MOST} dates can be filled; found {dates} from {self.start} to {self.end}")

    @property
    def days(self) -> NDArray[np.int32]:
        """Days since 1970-01-01 of the regular dates, int32 (time,)."""
        first = np.datetime64(self.start, "D").astype(np.int32)
        last = np.datetime64(self.end, "D").astype(np.int32)
        return np.arange(first, last + 1, self.every, dtype=np.int32)

    def apply(
        self, values: NDArray[np.float32], valid: NDArray[np.bool_], days: NDArray[np.int32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return values and validity at the regular dates; parameters and results as for :func:`interpolate`."""
        if self.method == "linear":
            return interpolate(values, valid, days, self.days)
        return whittaker(values, valid, days, self.days, self.smoothing)


def interpolate(
    values: NDArray[np.float32], valid: NDArray[np.bool_], days: NDArray[np.int32], target: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Interpolate each pixel linearly in time, between the previous and the next clear date.

    Before the first and after the last clear date, the value of that date is used. A pixel without a clear date stays masked.

    Parameters
    ----------
    values : (time, band, y, x)
    valid : (time, y, x)
    days, target : ascending days since 1970-01-01

    Returns
    -------
    values : (len(target), band, y, x); 0 where not valid
    valid : (len(target), y, x)
    """
    from bocage.scene import filling  # numba takes half a second to import

    return _by_pixels(filling.linear_pixels, values, valid, days, target)


def whittaker(
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
    days: NDArray[np.int32],
    target: NDArray[np.int32],
    smoothing: float,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Smooth each pixel in time; parameters and results as for :func:`interpolate`, with the penalty `smoothing`.

    The curve covers all dates of the series, at the step of `target`, and is then cut to `target`: a date outside the span weighs
    on its own day. Before the first and after the last clear date, the nearest value of the curve between them is used.
    Pixels with fewer than three clear dates, too few for a smooth curve, are interpolated linearly.
    """
    from bocage.scene import filling

    before, after = _steps_outside(days, target)
    if not before and not after:
        return _by_pixels(filling.whittaker_pixels, values, valid, days, target, smoothing)
    step = target[1] - target[0]
    whole = target[0] + step * np.arange(-before, len(target) + after, dtype=np.int32)
    filled, seen = _by_pixels(filling.whittaker_pixels, values, valid, days, whole, smoothing)
    inside = slice(before, before + len(target))
    return np.ascontiguousarray(filled[inside]), np.ascontiguousarray(seen[inside])


def _steps_outside(days: NDArray[np.int32], target: NDArray[np.int32]) -> tuple[int, int]:
    """Return how many regular dates are missing before and after `target` to cover all `days`; zeros for a single date."""
    if len(target) < 2 or not len(days):
        return 0, 0
    step = int(target[1] - target[0])
    before, after = int(target[0] - days[0]), int(days[-1] - target[-1])
    return max(0, -(-before // step)), max(0, -(-after // step))


def _by_pixels(
    kernel: Callable[..., None],
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
    days: NDArray[np.int32],
    target: NDArray[np.int32],
    *more: float,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Run a kernel over the pixels of a window, in several threads if the window is large."""
    dates, bands, height, width = values.shape
    n = height * width
    filled = np.empty((len(target), bands, n), np.float32)
    ever_clear = valid.any(axis=0)
    neighbours = _Neighbours.of(days, target)
    arguments = (
        np.ascontiguousarray(values, np.float32).reshape(dates, bands, n),
        np.ascontiguousarray(valid).reshape(dates, n),
        neighbours.left,
        neighbours.right,
        days.astype(np.float32),
        target.astype(np.float32),
        *more,
    )
    threads = min(cores(), -(-n // BLOCK)) if filled.size > WORTH_SHARING else 1
    edges = [n * k // threads for k in range(threads + 1)]
    if threads == 1:
        kernel(*arguments, filled, 0, n)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda part: kernel(*arguments, filled, *part), itertools.pairwise(edges)))
    if not ever_clear.all():
        filled[:, :, ~ever_clear.ravel()] = 0
    shape = (len(target), bands, height, width)
    return filled.reshape(shape), np.broadcast_to(ever_clear, (len(target), *ever_clear.shape)).copy()


@dataclass(frozen=True)
class _Neighbours:
    """Positions, in the series, of the dates next to each regular date."""

    left: NDArray[np.int32]
    """Last date of the series on or before each regular date; -1 if none."""
    right: NDArray[np.int32]
    """First date of the series on or after each regular date; the number of dates if none."""

    @classmethod
    def of(cls, days: NDArray[np.int32], target: NDArray[np.int32]) -> "_Neighbours":
        left = np.searchsorted(days, target, "right").astype(np.int32) - 1
        return cls(left.astype(np.int32), np.searchsorted(days, target, "left").astype(np.int32))
