"""Linear interpolation in time onto declared dates, over what clouds left.

Inglada et al. 2017 (doi:10.3390/rs9010095) map whole countries this way.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Fill:
    """The declared dates: every `every` days from `start` to `end`, both included where the step falls on it."""

    every: int
    """Days between two dates, at least 1."""
    start: date
    end: date

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"'every' counts days and is at least 1; found {self.every}")
        if self.end < self.start:
            raise ValueError(f"'end' ({self.end}) comes before 'start' ({self.start})")

    @property
    def days(self) -> NDArray[np.int32]:
        """Days since 1970-01-01 of the declared dates."""
        first = np.datetime64(self.start, "D").astype(np.int32)
        last = np.datetime64(self.end, "D").astype(np.int32)
        return np.arange(first, last + 1, self.every, dtype=np.int32)


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
    n = len(days)
    steps = np.arange(n, dtype=np.int32)[:, None, None]
    before = np.maximum.accumulate(np.where(valid, steps, -1), axis=0)
    after = np.minimum.accumulate(np.where(valid, steps, n)[::-1], axis=0)[::-1]
    ever = valid.any(axis=0)
    filled = np.zeros((len(target), *values.shape[1:]), np.float32)
    for k, day in enumerate(target):
        left = int(np.searchsorted(days, day, "right")) - 1
        right = int(np.searchsorted(days, day, "left"))
        earlier = before[left] if left >= 0 else np.full(ever.shape, -1)
        later = after[right] if right < n else np.full(ever.shape, n)
        filled[k] = _between(values, days, int(day), earlier, later) * ever
    return filled, np.broadcast_to(ever, (len(target), *ever.shape)).copy()


def _between(
    values: NDArray[np.float32], days: NDArray[np.int32], day: int, earlier: NDArray[np.int_], later: NDArray[np.int_]
) -> NDArray[np.float32]:
    n = len(days)
    a = np.clip(np.where(earlier >= 0, earlier, later), 0, n - 1)
    b = np.clip(np.where(later < n, later, earlier), 0, n - 1)
    span = (days[b] - days[a]).astype(np.float32)
    weight = np.where(span > 0, (day - days[a]) / np.where(span > 0, span, 1), 0).astype(np.float32)
    first = np.take_along_axis(values, a[None, None], axis=0)[0]
    second = np.take_along_axis(values, b[None, None], axis=0)[0]
    return np.asarray(first + weight * (second - first))
