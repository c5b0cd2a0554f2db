"""Series onto declared dates, over what clouds left: linear interpolation or Whittaker smoothing.

Linear interpolation is how whole countries are mapped (Inglada et al. 2017, doi:10.3390/rs9010095). The Whittaker
smoother (Eilers 2003, doi:10.1021/ac034173t) weighs faithfulness to the clear dates against roughness; here its
unknowns are the values at the declared dates, between which an observation is interpolated.

The kernels are compiled by numba, release the interpreter's lock and work on a block of pixels at a time; the pixels of a
window are shared out among threads.
"""

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray

BLOCK = 192
"""Pixels that are filled together: runs long enough for the memory, short enough for a band's dates to stay in the cache."""
NEVER = np.float32(-1e9)
"""The day of a clear date that does not exist."""
WORTH_SHARING = 1 << 20
"""Values of a window from which on its rows are shared out among threads."""


@dataclass(frozen=True)
class Fill:
    """The declared dates: every `every` days from `start` to `end`, both included where the step falls on it."""

    every: int
    """Days between two dates, at least 1."""
    start: date
    end: date
    method: Literal["linear", "whittaker"] = "linear"
    """Straight lines between clear dates, or a smooth curve near them."""
    smoothing: float = 1.0
    """Whittaker's penalty on the second difference of neighbouring dates, above 0; larger is smoother."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"'every' counts days and is at least 1; found {self.every}")
        if self.end < self.start:
            raise ValueError(f"'end' ({self.end}) comes before 'start' ({self.start})")
        if not self.smoothing > 0:
            raise ValueError(f"'smoothing' is above 0; found {self.smoothing}")

    @property
    def days(self) -> NDArray[np.int32]:
        """Days since 1970-01-01 of the declared dates."""
        first = np.datetime64(self.start, "D").astype(np.int32)
        last = np.datetime64(self.end, "D").astype(np.int32)
        return np.arange(first, last + 1, self.every, dtype=np.int32)

    def apply(
        self, values: NDArray[np.float32], valid: NDArray[np.bool_], days: NDArray[np.int32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Bring a series onto the declared dates."""
        if self.method == "linear":
            return interpolate(values, valid, days, self.days)
        return whittaker(values, valid, days, self.days, self.smoothing)


def interpolate(
    values: NDArray[np.float32], valid: NDArray[np.bool_], days: NDArray[np.int32], target: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Interpolate linearly in time, pixel by pixel, between the clear dates on either side.

    Before the first clear date and after the last, its value is kept. A pixel that was never clear stays masked.

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
    """Smooth in time, pixel by pixel; parameters and results as for :func:`interpolate`.

    Before the first clear date and after the last, the curve's value there is kept. Pixels with fewer than three clear
    dates, for which no curve can be told from noise, are interpolated linearly.
    """
    return _by_pixels(_whittaker_pixels, values, valid, days, target, smoothing)


def _by_pixels(
    kernel: Callable[..., None],
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
    days: NDArray[np.int32],
    target: NDArray[np.int32],
    *more: float,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Run a kernel over the pixels of a window, row after row, in as many threads as pay."""
    dates, bands, height, width = values.shape
    n = height * width
    filled = np.empty((len(target), bands, n), np.float32)
    ever = valid.any(axis=0)
    where = _Places.of(days, target)
    arguments = (
        np.ascontiguousarray(values, np.float32).reshape(dates, bands, n),
        np.ascontiguousarray(valid).reshape(dates, n),
        where.left,
        where.right,
        days.astype(np.float32),
        target.astype(np.float32),
        *more,
    )
    threads = min(os.cpu_count() or 1, -(-n // BLOCK)) if filled.size > WORTH_SHARING else 1
    edges = [n * k // threads for k in range(threads + 1)]
    if threads == 1:
        kernel(*arguments, filled, 0, n)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda part: kernel(*arguments, filled, *part), itertools.pairwise(edges)))
    if not ever.all():
        filled[:, :, ~ever.ravel()] = 0
    shape = (len(target), bands, height, width)
    return filled.reshape(shape), np.broadcast_to(ever, (len(target), *ever.shape)).copy()


@dataclass(frozen=True)
class _Places:
    """Where the declared dates lie among the dates of the series."""

    left: NDArray[np.int32]
    """Last date not after each declared one; -1 before all."""
    right: NDArray[np.int32]
    """First date not before each declared one; the number of dates after all."""

    @classmethod
    def of(cls, days: NDArray[np.int32], target: NDArray[np.int32]) -> "_Places":
        left = np.searchsorted(days, target, "right").astype(np.int32) - 1
        return cls(left.astype(np.int32), np.searchsorted(days, target, "left").astype(np.int32))


def _compiled(function: Callable[..., Any]) -> Any:
    """Compile on first use, without the lock; kept on disk between runs where the folder can be written."""
    try:
        return numba.njit(nogil=True, cache=True, boundscheck=False)(function)
    except RuntimeError:  # numba finds no place for its cache
        return numba.njit(nogil=True, boundscheck=False)(function)


@_compiled
def _linear_pixels(
    values: Any, valid: Any, left: Any, right: Any, days: Any, target: Any, filled: Any, first: int, last: int
) -> None:
    """Fill the pixels from `first` to `last`, a block at a time.

    Which two clear dates surround each declared one, and in what proportion, is worked out once for a pixel, in loops
    that run on vectors of pixels; each band then looks its two values up.
    """
    _, bands, size = values.shape
    m = len(target)
    flat = values.reshape(values.size)
    rows = np.empty((2, BLOCK), np.float32)
    before = np.empty((m, BLOCK), np.uint64)  # unsigned: a signed index would be tested for being counted from the end
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


@_compiled
def _carry(seen: Any, now: Any, last: Any, out: Any) -> None:
    """Take the value of this date where it is clear, and the last one elsewhere (in two rows: in one, it branches)."""
    for x in range(len(seen)):
        out[x] = now[x] if seen[x] else last[x]


@_compiled
def _between(band: Any, before: Any, after: Any, weight: Any, out: Any) -> None:
    for x in range(len(out)):
        a = band[before[x]]
        out[x] = a + weight[x] * (band[after[x]] - a)


@_compiled
def _surroundings(valid: Any, p: int, end: int, left: Any, right: Any, rows: Any, before: Any, after: Any) -> None:
    """Clear dates around each declared one, by their number; one for the other where there is only one, 0 for none."""
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


@_compiled
def _weights(before: Any, after: Any, days: Any, target: Any, weight: Any, count: int) -> None:
    """Where each declared date lies between the clear ones around it, from 0 to 1."""
    for k in range(len(target)):
        for x in range(count):
            start, stop = days[before[k, x]], days[after[k, x]]
            weight[k, x] = (target[k] - start) / (stop - start) if stop > start else np.float32(0)


@_compiled
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
            _few(values, valid, left, right, days, target, filled, p)
            continue
        _factorise(valid, slot, share, p, smoothing, factor)
        for c in range(bands):
            _solve(values, valid, slot, share, factor, p, c, curve)
            _keep_ends(valid, days, target, p, curve)
            for k in range(m):
                filled[k, c, p] = curve[k]


@_compiled
def _place(day: float, target: Any) -> tuple[int, float]:
    """The declared date before a day, and the weight of the next one; days outside stick to the ends."""
    m = len(target)
    if m == 1 or day <= target[0]:
        return 0, 0.0
    if day >= target[m - 1]:
        return m - 2, 1.0
    k = int((day - target[0]) // (target[1] - target[0]))
    return k, (day - target[k]) / (target[k + 1] - target[k])


@_compiled
def _factorise(valid: Any, slot: Any, share: Any, p: int, smoothing: float, factor: Any) -> None:
    """LDLᵀ of AᵀA + smoothing · DᵀD, a matrix of five diagonals: D in column 0, L's two diagonals in 1 and 2."""
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
        one, two = factor[k, 1], factor[k, 2]
        if k + 1 < m:
            factor[k + 1, 0] -= one * one / d
            factor[k + 1, 1] -= one * two / d
        if k + 2 < m:
            factor[k + 2, 0] -= two * two / d
        factor[k, 1], factor[k, 2] = one / d, two / d


@_compiled
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


@_compiled
def _keep_ends(valid: Any, days: Any, target: Any, p: int, curve: Any) -> None:
    """Outside the first and last clear dates, keep the curve's nearest value inside: a line drawn on would run away."""
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


@_compiled
def _few(values: Any, valid: Any, left: Any, right: Any, days: Any, target: Any, filled: Any, p: int) -> None:
    """One pixel, linearly; 0 where it was never clear."""
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
