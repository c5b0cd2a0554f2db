"""Series onto declared dates, over what clouds left: linear interpolation or Whittaker smoothing.

Linear interpolation is how whole countries are mapped (Inglada et al. 2017, doi:10.3390/rs9010095). The Whittaker
smoother (Eilers 2003, doi:10.1021/ac034173t) weighs faithfulness to the clear dates against roughness; here its
unknowns are the values at the declared dates, between which an observation is interpolated.

The kernels are compiled by numba, release the interpreter's lock and work on a row of pixels at a time; the rows of a
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
    return _by_rows(_linear_rows, values, valid, days, target)


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
    return _by_rows(_whittaker_rows, values, valid, days, target, smoothing)


def _by_rows(
    kernel: Callable[..., None],
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
    days: NDArray[np.int32],
    target: NDArray[np.int32],
    *more: float,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Run a kernel over the rows of a window, in as many threads as pay."""
    _, bands, height, width = values.shape
    filled = np.empty((len(target), bands, height, width), np.float32)
    ever = valid.any(axis=0)
    where = _Places.of(days, target)
    arguments = (np.ascontiguousarray(values, np.float32), np.ascontiguousarray(valid), ever, where.left, where.right)
    arguments = (*arguments, days.astype(np.float32), target.astype(np.float32), *more)  # type: ignore[assignment]
    threads = min(os.cpu_count() or 1, height) if filled.size > WORTH_SHARING else 1
    edges = np.linspace(0, height, threads + 1).astype(int).tolist()
    if threads == 1:
        kernel(*arguments, filled, 0, height)
    else:
        with ThreadPoolExecutor(threads) as pool:
            parts = itertools.pairwise(edges)
            list(pool.map(lambda part: kernel(*arguments, filled, *part), parts))
    return filled, np.broadcast_to(ever, (len(target), *ever.shape)).copy()


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
def _neighbours(valid: Any, y: int, before: Any, after: Any) -> None:
    """Nearest clear date not after, and not before, each date, for one row: (time, x); -1 and the number of dates else."""
    n, width = before.shape
    for x in range(width):
        before[0, x] = 0 if valid[0, y, x] else -1
        after[n - 1, x] = n - 1 if valid[n - 1, y, x] else n
    for t in range(1, n):
        for x in range(width):
            before[t, x] = t if valid[t, y, x] else before[t - 1, x]
            s = n - 1 - t
            after[s, x] = s if valid[s, y, x] else after[s + 1, x]


@_compiled
def _linear_rows(
    values: Any, valid: Any, ever: Any, left: Any, right: Any, days: Any, target: Any, filled: Any, y0: int, y1: int
) -> None:
    n, bands, height, width = values.shape
    flat = values.reshape(values.size)
    before = np.empty((n, width), np.int32)
    after = np.empty((n, width), np.int32)
    first = np.empty(width, np.uint64)  # unsigned: a signed index would be tested for being counted from the end
    second = np.empty(width, np.uint64)
    weight = np.empty(width, np.float32)
    for y in range(y0, y1):
        _neighbours(valid, y, before, after)
        for k in range(len(target)):
            _weights(before, after, ever, y, left[k], right[k], days, target[k], first, second, weight)
            for x in range(width):
                first[x] = first[x] * np.uint64(bands * height * width) + np.uint64(y * width + x)
                second[x] = second[x] * np.uint64(bands * height * width) + np.uint64(y * width + x)
            for c in range(bands):
                row = filled[k, c, y]
                start = np.uint64(c * height * width)
                for x in range(width):
                    a = flat[first[x] + start]
                    row[x] = a + weight[x] * (flat[second[x] + start] - a)
        for x in range(width):
            if not ever[y, x]:
                for k in range(len(target)):
                    for c in range(bands):
                        filled[k, c, y, x] = 0


@_compiled
def _weights(
    before: Any, after: Any, ever: Any, y: int, left: int, right: int, days: Any, day: float,
    first: Any, second: Any, weight: Any,
) -> None:  # fmt: skip
    """The two clear dates around a declared one, and the weight of the second, for one row of pixels."""
    n, width = before.shape
    for x in range(width):
        i = before[left, x] if left >= 0 else -1
        j = after[right, x] if right < n else n
        if not ever[y, x]:
            i, j = 0, 0
        elif i < 0:
            i = j
        elif j >= n:
            j = i
        first[x], second[x] = i, j
        weight[x] = (day - days[i]) / (days[j] - days[i]) if j != i else np.float32(0)


@_compiled
def _whittaker_rows(
    values: Any, valid: Any, ever: Any, left: Any, right: Any, days: Any, target: Any, smoothing: float,
    filled: Any, y0: int, y1: int,
) -> None:  # fmt: skip
    n, bands, _, width = values.shape
    m = len(target)
    slot = np.empty(n, np.int32)
    share = np.empty(n, np.float64)
    for t in range(n):
        slot[t], share[t] = _place(days[t], target)
    factor = np.empty((m, 3), np.float64)
    curve = np.empty(m, np.float64)
    for y in range(y0, y1):
        for x in range(width):
            clear = 0
            for t in range(n):
                clear += valid[t, y, x]
            if clear < 3 or m < 3:
                _few(values, valid, ever, left, right, days, target, filled, y, x)
                continue
            _factorise(valid, slot, share, y, x, smoothing, factor)
            for c in range(bands):
                _solve(values, valid, slot, share, factor, y, x, c, curve)
                _keep_ends(valid, days, target, y, x, curve)
                for k in range(m):
                    filled[k, c, y, x] = curve[k]


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
def _factorise(valid: Any, slot: Any, share: Any, y: int, x: int, smoothing: float, factor: Any) -> None:
    """LDLᵀ of AᵀA + smoothing · DᵀD, a matrix of five diagonals: D in column 0, L's two diagonals in 1 and 2."""
    m = len(factor)
    factor[:] = 0.0
    for t in range(len(slot)):
        if valid[t, y, x]:
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
def _solve(values: Any, valid: Any, slot: Any, share: Any, factor: Any, y: int, x: int, c: int, curve: Any) -> None:
    m = len(curve)
    curve[:] = 0.0
    for t in range(len(slot)):
        if valid[t, y, x]:
            k, w = slot[t], share[t]
            curve[k] += (1 - w) * values[t, c, y, x]
            if k + 1 < m:
                curve[k + 1] += w * values[t, c, y, x]
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
def _keep_ends(valid: Any, days: Any, target: Any, y: int, x: int, curve: Any) -> None:
    """Outside the first and last clear dates, keep the curve's nearest value inside: a line drawn on would run away."""
    n, m = len(days), len(target)
    first, last = 0, n - 1
    while not valid[first, y, x]:
        first += 1
    while not valid[last, y, x]:
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
def _few(
    values: Any, valid: Any, ever: Any, left: Any, right: Any, days: Any, target: Any, filled: Any, y: int, x: int
) -> None:
    """One pixel, linearly."""
    n, bands = values.shape[0], values.shape[1]
    for k in range(len(target)):
        i, j = left[k], right[k]
        while i >= 0 and not valid[i, y, x]:
            i -= 1
        while j < n and not valid[j, y, x]:
            j += 1
        if not ever[y, x]:
            i, j = 0, 0
        elif i < 0:
            i = j
        elif j >= n:
            j = i
        w = (target[k] - days[i]) / (days[j] - days[i]) if j != i else 0.0
        for c in range(bands):
            a, b = values[i, c, y, x], values[j, c, y, x]
            filled[k, c, y, x] = a + w * (b - a) if ever[y, x] else 0.0
