"""Multitemporal speckle filter: local mean of a date, times the mean over all dates of the ratio of pixel to local mean.

Quegan and Yu 2001, Filtering of multichannel SAR images (doi:10.1109/36.964973), for uncorrelated dates:
``J_k = mean_k(I) / N · Σ_i I_i / mean_i(I)`` with local means over a window, in power.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from bocage.ranges import Range, check_ranges


@dataclass(frozen=True)
class Speckle:
    """Settings of the filter. The values of the source must be in dB."""

    window: Annotated[int, Range(3, 99, odd=True)] = 7
    """Side of the window of the local means, in pixels; odd, at least 3."""

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def halo(self) -> int:
        """Halo in pixels that a window needs."""
        return self.window // 2

    def apply(self, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return filtered values (time, band, y, x) in dB; 0 where not `valid` (time, y, x)."""
        from scipy.ndimage import uniform_filter  # slow to import

        inside = valid[:, None].astype(np.float32)
        power = np.where(valid[:, None], 10 ** (values / 10), 0).astype(np.float32)
        size = (1, 1, self.window, self.window)
        # Local means use valid pixels only: otherwise the edge of a swath would darken its neighbours.
        weight = uniform_filter(inside, size, mode="constant")
        mean = np.divide(
            uniform_filter(power, size, mode="constant"), weight, where=weight > 1e-6, out=np.zeros_like(power)
        )
        ratio = np.divide(power, mean, where=(mean > 0) & (inside > 0), out=np.zeros_like(power))
        dates = np.maximum(inside.sum(0), 1)
        filtered = mean * ratio.sum(0) / dates
        with np.errstate(divide="ignore"):
            decibels = np.where(filtered > 0, 10 * np.log10(filtered), values)
        return np.asarray(decibels * inside, np.float32)


@dataclass(frozen=True)
class SpeckleUntil(Speckle):
    """The filter as it is known on a day: from the first dates of a series only; the others are 0."""

    known: int = 0
    """Number of the first dates."""

    def apply(self, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return filtered values (time, band, y, x) in dB; 0 where not `valid` (time, y, x), or later."""
        filtered = np.zeros_like(values)
        filtered[: self.known] = super().apply(values[: self.known], valid[: self.known])
        return filtered
