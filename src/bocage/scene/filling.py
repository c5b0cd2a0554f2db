"""Functions compiled by numba that fill the gaps of series, pixel by pixel (:mod:`bocage.scene.gaps`)."""

from typing import Any

import numpy as np

from bocage.machine import compiled
from bocage.scene.gaps import BLOCK

NEVER = np.float32(-1e9)
"""Placeholder for a missing clear date."""


@compiled
def linear_pixels(
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
def whittaker_pixels(
    values: Any, valid: Any, left: Any, right: Any, days: Any, target: Any, smoothing: float,
    filled: Any, first: int, last: int,
) -> None:  # fmt: skip
    """Smooth the pixels from `first` to `last`; those with fewer than three clear dates are interpolated linearly."""
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
        w = (target[k] - days[i]) / (days[j] - days[i]) if days[j] > days[i] else 0.0  # two images of one day
        for c in range(bands):
            a, b = values[i, c, p], values[j, c, p]
            filled[k, c, p] = a + w * (b - a)
