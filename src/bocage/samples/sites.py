"""Footprints of the samples of several sites in one source, as those of one data set."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bocage.disk import digest, digest_of
from bocage.samples.cut import Cut
from bocage.samples.windows import WindowPixels


@dataclass(frozen=True)
class SiteCuts:
    """Footprints of N samples in one source; each site has its own dates, and may lack the source.

    The number of dates T is that of the longest series. Shorter series end with dates without valid pixels. The samples of a
    site that lacks the source have no valid pixel.
    """

    parts: Mapping[int, Cut | WindowPixels]
    """Number of the site → its footprints, or the map pixels of its windows."""
    site: NDArray[np.int16]
    """(N,) number of the site of each sample."""
    position: NDArray[np.int64]
    """(N,) position of each sample among those of its site."""

    @property
    def _longest(self) -> Cut | WindowPixels:
        return max(self.parts.values(), key=lambda part: len(part.days))

    @property
    def days(self) -> NDArray[np.int32]:
        """(T,) days of the longest series."""
        return self._longest.days

    @property
    def dates(self) -> NDArray[np.int32]:
        """(T,) calendar days of the longest series."""
        return self._longest.dates

    @property
    def bands(self) -> int:
        """Number of bands."""
        return self._longest.bands

    @property
    def size(self) -> int:
        """Side of a footprint, in pixels of the source."""
        return self._longest.size

    @property
    def identity(self) -> str:
        """Digest of the footprints of each site, and of the site and the position of each sample."""
        parts = digest([(int(number), part.identity) for number, part in self.parts.items()])
        return digest_of(parts.encode(), self.site.tobytes(), self.position.tobytes())

    @property
    def sample_bytes(self) -> int:
        """Size of one footprint of the longest series, in bytes."""
        return self._longest.sample_bytes

    def read(self, members: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return values (B, T, C, S, S) and validity (B, T, S, S) of the samples `members`."""
        n, t, c, s = len(members), len(self.days), self.bands, self.size
        values, valid = np.zeros((n, t, c, s, s), np.float32), np.zeros((n, t, s, s), bool)
        for number, part in self.parts.items():
            rows = np.flatnonzero(self.site[members] == number)
            if len(rows):
                dates = len(part.days)
                values[rows, :dates], valid[rows, :dates] = part.read(self.position[members[rows]])
        return values, valid

    def within(self, first: int, size: int) -> "SiteCuts":
        """Return the part of each footprint that starts at row and column `first` and has `size` pixels a side."""
        parts = {number: part.within(first, size) for number, part in self.parts.items() if isinstance(part, Cut)}
        return replace(self, parts=parts)

    @property
    def of_windows(self) -> bool:
        """Whether the footprints are the map pixels of windows."""
        return isinstance(self._longest, WindowPixels)

    def days_of(self, members: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the days of the samples `members`, (B, T); those without valid pixels repeat the last day of the series."""
        days = np.tile(self.days, (len(members), 1))
        for number, part in self.parts.items():
            padded = np.pad(part.days, (0, len(self.days) - len(part.days)), mode="edge")
            days[self.site[members] == number] = padded
        return days

    def dates_of(self, members: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the calendar days of the samples `members`, (B, T), as :meth:`days_of`."""
        dates = np.tile(self.dates, (len(members), 1))
        for number, part in self.parts.items():
            padded = np.pad(part.dates, (0, len(self.dates) - len(part.dates)), mode="edge")
            dates[self.site[members] == number] = padded
        return dates

    def stored(self, members: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return numbers in the order in which the samples `members` are stored, (B,)."""
        order = self.site[members].astype(np.int64) << 40
        for number, part in self.parts.items():
            rows = np.flatnonzero(self.site[members] == number)
            order[rows] += part.stored(self.position[members[rows]])
        return order
