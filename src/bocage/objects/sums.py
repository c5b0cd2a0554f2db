"""Mean and standard deviation of every band on every date over each object.

Sums are carried with their rounding errors (Knuth's two-sum), so that they are those of exact arithmetic rounded once, and the
same for any tiles and any order of tiles. Only valid pixels count. A date on which an object has no valid pixel is interpolated
linearly in time between the dates before and after; before the first and after the last, the value of that date is used. An
object without a valid pixel on any date has no value (NaN).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.machine import compiled
from bocage.objects.overlay import Pairs
from bocage.objects.stored import Stored


@dataclass(frozen=True)
class Sums:
    """Sums over the valid pixels of each object of one source, rows by object number."""

    weight: NDArray[Any]
    """Number of valid pixels on each date (N + 1, T)."""
    total: NDArray[Any]
    """Sum and sum of squares of each band on each date, each with its rounding error (N + 1, T, C, 4)."""

    @classmethod
    def new(cls, stored: Stored, name: str, dates: int, bands: int) -> "Sums":
        """Return sums of nothing, in files that start with `name`."""
        total = stored.array(f"{name}-total", (dates, bands, 4))
        return cls(stored.array(f"{name}-weight", (dates,), "int64"), total)

    def add(self, pairs: Pairs, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Add pixels of a window: values (T, C, y, x) and valid (T, y, x)."""
        t, c = values.shape[:2]
        pixels = np.ascontiguousarray(values.reshape(t, c, -1).transpose(2, 0, 1))
        known = np.ascontiguousarray((valid & np.isfinite(values).all(1)).reshape(t, -1).T)
        weight, total = np.asarray(self.weight[pairs.numbers]), np.asarray(self.total[pairs.numbers])
        _add(pixels, known, pairs.which, pairs.pixel, pairs.weight, (weight, total))
        self.weight[pairs.numbers], self.total[pairs.numbers] = weight, total

    def moments(self, rows: slice, days: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation (n, T, C) of a range of objects, dates without a pixel interpolated."""
        weight, total = np.asarray(self.weight[rows])[..., None], np.asarray(self.total[rows])
        n = np.maximum(weight, 1)
        mean = (total[..., 0] + total[..., 1]) / n
        square = (total[..., 2] + total[..., 3]) / n
        spread = np.sqrt(np.maximum(square - mean**2, 0))
        there = weight[..., 0] > 0
        return in_time(mean, there, days), in_time(spread, there, days)


@compiled
def _add(pixels: Any, known: Any, which: Any, pixel: Any, weight: Any, sums: Any) -> None:
    """Add weighted pixels (P, T, C) to the sums of their objects."""
    count, total = sums
    for m in range(len(which)):
        k, p, w = which[m], pixel[m], weight[m]
        for t in range(pixels.shape[1]):
            if not known[p, t]:
                continue
            count[k, t] += w
            for c in range(pixels.shape[2]):
                x = np.float64(pixels[p, t, c])
                square = x * x  # exact: 48 bits
                high = np.float64(np.float32(square))
                _two_sum(total[k, t, c], 0, w * x)
                _two_sum(total[k, t, c], 2, w * high)  # 24 bits each, so that their products with a weight are exact
                _two_sum(total[k, t, c], 2, w * (square - high))


@compiled
def _two_sum(total: Any, at: int, x: float) -> None:
    """Add to a sum, and its rounding error to the place beside it."""
    new = total[at] + x
    part = new - total[at]
    total[at + 1] += (total[at] - (new - part)) + (x - part)
    total[at] = new


def in_time(values: NDArray[np.float64], there: NDArray[np.bool_], days: NDArray[Any]) -> NDArray[np.float64]:
    """Return values (n, T, C) with the dates that are not `there` (n, T) interpolated; NaN where none is."""
    count = there.shape[1]
    date = np.broadcast_to(np.arange(count), there.shape)
    before = np.maximum.accumulate(np.where(there, date, -1), 1)
    after = np.minimum.accumulate(np.where(there, date, count)[:, ::-1], 1)[:, ::-1]
    first = np.minimum(np.where(before < 0, after, before), count - 1)
    last = np.where(after == count, first, after)
    start, stop = (np.asarray(days, np.float64)[at] for at in (first, last))
    weight = np.clip((days - start) / np.maximum(stop - start, 1), 0, 1)[..., None]
    low, high = (np.take_along_axis(values, at[..., None], 1) for at in (first, last))
    return np.where(np.asarray(there.any(1))[:, None, None], low + weight * (high - low), np.nan)
