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
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bocage.machine import compiled, cores
from bocage.ranges import Range, check_ranges
from bocage.sources.base import YEARS

BLOCK = 192
"""Pixels filled together: enough for contiguous memory access, few enough for all dates of a band to stay in the CPU cache."""
MOST = 10_000
"""Maximum number of regular dates."""
NEVER = np.float32(-1e9)
"""Placeholder for a missing clear date."""
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
    return _by_pixels(_linear_pixels, values, valid, days, target)


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
    before, after = _steps_outside(days, target)
    if not before and not after:
        return _by_pixels(_whittaker_pixels, values, valid, days, target, smoothing)
    step = target[1] - target[0]
    whole = target[0] + step * np.arange(-before, len(target) + after, dtype=np.int32)
    filled, seen = _by_pixels(_whittaker_pixels, values, valid, days, whole, smoothing)
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


@compiled
def _linear_pixels(
    values: Any, valid: Any, left: Any, right: Any, days: Any, target: Any, filled: Any, first: int, last: int
) -> None:
    """Fill the pixels from `first` to `last`, one block after the other.

    For each pixel, the two clear dates next to each regular date and their weights are computed once, in loops over vectors of
    pixels. Each band then uses them to look up its two values.
    """
    _, bands, size = values.shape
    m = len(target)
    flat = values.reshape(values.size)
    rows = np.empty((2, BLOCK), np.float32)
    before = np.empty((m, BLOCK), np.uint64)  # unsigned: for a signed index, numba checks whether it is negative
    after = np.empty((m, BLOCK), np.uint64)
    weight = np.empty((m, BLOCK), np.float32)
    for p in range(first, last, BLOCK):
        end = min(p + BLOCK, last)
        _surroundings(valid, p, end, left, right, rows, before, after)
        _weights(before, after, days, target, weight, end - p)
        for k in range(m):
            for x in range(end - p):
                before[k, x] = before[k, x] * np.uint64(bands * size) + np.uint64(p + x)
                after[k, x] = after[k, x] * np.uint64(bands * size) + np.uint64(p + x)
        for c in range(bands):
            band = flat[c * size :]
            for k in range(m):
                _between(band, before[k], after[k], weight[k], filled[k, c, p:end])


@compiled
def _carry(seen: Any, now: Any, last: Any, out: Any) -> None:
    """Write the value of this date where it is clear, and the previous value elsewhere.

    Input and output are separate rows: with a single row, the compiled loop has branches.
    """
    for x in range(len(seen)):
        out[x] = now[x] if seen[x] else last[x]


@compiled
def _between(band: Any, before: Any, after: Any, weight: Any, out: Any) -> None:
    for x in range(len(out)):
        a = band[before[x]]
        out[x] = a + weight[x] * (band[after[x]] - a)


@compiled
def _surroundings(valid: Any, p: int, end: int, left: Any, right: Any, rows: Any, before: Any, after: Any) -> None:
    """Find the positions of the clear dates before and after each regular date.

    If one of the two is missing, the other replaces it. If both are missing, both are 0.
    """
    n, m, count = len(valid), len(left), end - p
    now = np.empty(count, np.float32)
    rows[:] = NEVER
    r, k = 0, m - 1
    for t in range(n, -1, -1):
        if t < n:
            now[:] = t
            _carry(valid[t, p:end], now, rows[r], rows[1 - r])
            r = 1 - r
        while k >= 0 and right[k] == t:
            for x in range(count):
                after[k, x] = np.uint64(max(rows[r, x], np.float32(0)))
                before[k, x] = after[k, x] if rows[r, x] != NEVER else np.uint64(n)
            k -= 1
    rows[:] = NEVER
    r, k = 0, 0
    for t in range(-1, n):
        if t >= 0:
            now[:] = t
            _carry(valid[t, p:end], now, rows[r], rows[1 - r])
            r = 1 - r
        while k < m and left[k] == t:
            for x in range(count):
                here = rows[r, x]
                earlier = np.uint64(max(here, np.float32(0)))
                only = before[k, x] == n
                before[k, x] = earlier if here != NEVER else (np.uint64(0) if only else after[k, x])
                after[k, x] = before[k, x] if only else after[k, x]
            k += 1


@compiled
def _weights(before: Any, after: Any, days: Any, target: Any, weight: Any, count: int) -> None:
    """Compute the weight, 0 to 1, of the clear date after each regular date."""
    for k in range(len(target)):
        for x in range(count):
            start, stop = days[before[k, x]], days[after[k, x]]
            weight[k, x] = (target[k] - start) / (stop - start) if stop > start else np.float32(0)


@compiled
def _whittaker_pixels(
    values: Any, valid: Any, left: Any, right: Any, days: Any, target: Any, smoothing: float,
    filled: Any, first: int, last: int,
) -> None:  # fmt: skip
    n, bands, _ = values.shape
    m = len(target)
    slot = np.empty(n, np.int32)
    share = np.empty(n, np.float64)
    for t in range(n):
        slot[t], share[t] = _place(days[t], target)
    factor = np.empty((m, 3), np.float64)
    curve = np.empty(m, np.float64)
    for p in range(first, last):
        clear = 0
        for t in range(n):
            clear += valid[t, p]
        if clear < 3 or m < 3:
            _linear_pixel(values, valid, left, right, days, target, filled, p)
            continue
        _factorise(valid, slot, share, p, smoothing, factor)
        for c in range(bands):
            _solve(values, valid, slot, share, factor, p, c, curve)
            _keep_ends(valid, days, target, p, curve)
            for k in range(m):
                filled[k, c, p] = curve[k]


@compiled
def _place(day: float, target: Any) -> tuple[int, float]:
    """Return the position of the regular date before a day, and the weight of the next one; days outside take the end dates."""
    m = len(target)
    if m == 1 or day <= target[0]:
        return 0, 0.0
    if day >= target[m - 1]:
        return m - 2, 1.0
    k = int((day - target[0]) // (target[1] - target[0]))
    return k, (day - target[k]) / (target[k + 1] - target[k])


@compiled
def _factorise(valid: Any, slot: Any, share: Any, p: int, smoothing: float, factor: Any) -> None:
    """Compute LDLᵀ of the pentadiagonal matrix AᵀA + smoothing · DᵀD: D in column 0, the two lower diagonals of L in 1 and 2."""
    m = len(factor)
    factor[:] = 0.0
    for t in range(len(slot)):
        if valid[t, p]:
            k, w = slot[t], share[t]
            factor[k, 0] += (1 - w) * (1 - w)
            if k + 1 < m:
                factor[k, 1] += w * (1 - w)
                factor[k + 1, 0] += w * w
    for k in range(m - 2):  # rows of the second difference: 1, -2, 1
        factor[k, 0] += smoothing
        factor[k + 1, 0] += 4 * smoothing
        factor[k + 2, 0] += smoothing
        factor[k, 1] -= 2 * smoothing
        factor[k + 1, 1] -= 2 * smoothing
        factor[k, 2] += smoothing
    for k in range(m):
        d = max(factor[k, 0], 1e-12)
        factor[k, 0] = d
        first, second = factor[k, 1], factor[k, 2]
        if k + 1 < m:
            factor[k + 1, 0] -= first * first / d
            factor[k + 1, 1] -= first * second / d
        if k + 2 < m:
            factor[k + 2, 0] -= second * second / d
        factor[k, 1], factor[k, 2] = first / d, second / d


@compiled
def _solve(values: Any, valid: Any, slot: Any, share: Any, factor: Any, p: int, c: int, curve: Any) -> None:
    m = len(curve)
    curve[:] = 0.0
    for t in range(len(slot)):
        if valid[t, p]:
            k, w = slot[t], share[t]
            curve[k] += (1 - w) * values[t, c, p]
            if k + 1 < m:
                curve[k + 1] += w * values[t, c, p]
    for k in range(m):
        if k + 1 < m:
            curve[k + 1] -= factor[k, 1] * curve[k]
        if k + 2 < m:
            curve[k + 2] -= factor[k, 2] * curve[k]
    for k in range(m - 1, -1, -1):
        curve[k] /= factor[k, 0]
        if k + 1 < m:
            curve[k] -= factor[k, 1] * curve[k + 1]
        if k + 2 < m:
            curve[k] -= factor[k, 2] * curve[k + 2]


@compiled
def _keep_ends(valid: Any, days: Any, target: Any, p: int, curve: Any) -> None:
    """Outside the first and last clear dates, use the nearest value of the curve between them; extrapolation would diverge."""
    n, m = len(days), len(target)
    first, last = 0, n - 1
    while not valid[first, p]:
        first += 1
    while not valid[last, p]:
        last -= 1
    low = 0
    while low < m - 1 and target[low] < days[first]:
        low += 1
    high = m - 1
    while high > 0 and target[high] > days[last]:
        high -= 1
    if low > high:
        low = high = min(low, m - 1)
    for k in range(low):
        curve[k] = curve[low]
    for k in range(high + 1, m):
        curve[k] = curve[high]


@compiled
def _linear_pixel(values: Any, valid: Any, left: Any, right: Any, days: Any, target: Any, filled: Any, p: int) -> None:
    """Interpolate one pixel linearly; 0 if it has no clear date."""
    n, bands = values.shape[0], values.shape[1]
    for k in range(len(target)):
        i, j = left[k], right[k]
        while i >= 0 and not valid[i, p]:
            i -= 1
        while j < n and not valid[j, p]:
            j += 1
        i, j = (j, j) if i < 0 else (i, i) if j >= n else (i, j)
        if i >= n or i < 0:
            filled[k, :, p] = 0
            continue
        w = (target[k] - days[i]) / (days[j] - days[i]) if j != i else 0.0
        for c in range(bands):
            a, b = values[i, c, p], values[j, c, p]
            filled[k, c, p] = a + w * (b - a)
