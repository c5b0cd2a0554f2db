"""Windows of the map for a training on windows: the labelled pixels in squares of one side, and what each source has there.

The squares are those of a lattice that starts at the map's corner. Labels are those of the samples: a window in which only a
part of the pixels has labels trains on this part.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bocage.disk import digest, digest_of
from bocage.errors import SamplesError
from bocage.grid import Ratio
from bocage.progress import Progress
from bocage.samples.cut import Cut, Reach, cut, open_cut
from bocage.samples.rasterise import Pixels
from bocage.scene import Scene

if TYPE_CHECKING:  # it imports this module
    from bocage.samples.sites import SiteCuts


@dataclass(frozen=True)
class WindowNeeds:
    """Data that a training on windows requires from a scene."""

    footprints: Mapping[str, Reach]
    """Source → the pixels of a window, with the halo."""
    any_source: bool
    """Whether one valid source is enough to use a pixel; if False, all sources must be valid."""
    side: int
    """Side of the windows, in map pixels."""
    ratios: Mapping[str, Ratio]
    """Source → ratio of pixel sizes between the map grid and its grid."""

    def count(self, pixels: Pixels) -> int:
        """Return the number of windows that contain labelled pixels."""
        return len(_lattice(pixels, self.side)[1])


@dataclass(frozen=True)
class Windows:
    """Windows, and the place of N samples in them."""

    cuts: "Mapping[str, Cut | SiteCuts]"
    """Source → pixels of every window, with the halo."""
    side: int
    """Side of the windows, in map pixels."""
    number: NDArray[np.int64]
    """(N,) number of the window of each sample."""
    row: NDArray[np.int64]
    """(N,) row of each sample, from the top of its window."""
    column: NDArray[np.int64]
    """(N,) column of each sample, from the left of its window."""

    def take(self, members: NDArray[np.int64]) -> "Windows":
        """Return the places of the samples `members`; the windows stay."""
        return replace(self, number=self.number[members], row=self.row[members], column=self.column[members])

    def count(self, members: NDArray[np.int64]) -> int:
        """Return the number of windows with one of the samples `members`."""
        return len(np.unique(self.number[members]))


@dataclass(frozen=True)
class WindowPixels:
    """The map pixel of each sample in one source, taken from the windows; used like :class:`~bocage.samples.cut.Cut`."""

    cut: Cut
    """Pixels of the windows."""
    before: int
    """Pixels of the source above, and left of, the first pixel of a window."""
    ratio: Ratio
    """Ratio of pixel sizes between the map grid and the grid of the source."""
    place: NDArray[np.int64]
    """(pixels, 3): number of the window, row and column in it, in map pixels."""
    index: NDArray[np.int64]
    """(N,) position of each sample among the pixels."""

    @property
    def days(self) -> NDArray[np.int32]:
        """(T,) days given to the network."""
        return self.cut.days

    @property
    def dates(self) -> NDArray[np.int32]:
        """(T,) calendar days since 1970-01-01."""
        return self.cut.dates

    @property
    def bands(self) -> int:
        """Number of bands."""
        return self.cut.bands

    @property
    def size(self) -> int:
        """Side of a map pixel, in pixels of the source; 1 for a coarser source."""
        return self.ratio.finer

    @property
    def identity(self) -> str:
        """Digest of the content of the windows, and of the place of each sample."""
        windows = digest(self.cut.identity, self.before, self.ratio)
        return digest_of(windows.encode(), self.place[self.index].tobytes())

    @property
    def sample_bytes(self) -> int:
        """Size of a window, in bytes."""
        return self.cut.sample_bytes

    def stored(self, members: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return numbers in the order in which the samples `members` are stored, (B,)."""
        return np.asarray(self.place[self.index[members], 0])

    def days_of(self, members: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the days of the samples `members`, (B, T)."""
        return self.cut.days_of(members)

    def dates_of(self, members: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the calendar days since 1970-01-01 of the samples `members`, (B, T)."""
        return self.cut.dates_of(members)

    def read(self, members: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return values (B, T, C, S, S) and validity (B, T, S, S) of the map pixels of the samples `members`."""
        place, s, t = self.place[self.index[members]], self.size, len(self.days)
        values = np.empty((len(members), t, self.bands, s, s), np.float32)
        valid = np.empty((len(members), t, s, s), bool)
        for number, rows in by_window(place[:, 0]):
            window, seen = (array[0] for array in self.cut.read(np.array([number])))
            for dy, dx in np.ndindex(s, s):
                y, x = self._pixel(place[rows], dy, dx)
                values[rows, ..., dy, dx] = np.moveaxis(window[..., y, x], -1, 0)
                valid[rows, ..., dy, dx] = np.moveaxis(seen[..., y, x], -1, 0)
        return values, valid

    def ever_valid(self) -> NDArray[np.bool_]:
        """Return which pixels have a valid date, (pixels,)."""
        found = np.zeros(len(self.place), bool)
        for number, rows in by_window(self.place[:, 0]):
            seen = self.cut.read(np.array([number]))[1][0].any(0)
            for dy, dx in np.ndindex(self.size, self.size):
                found[rows] |= seen[self._pixel(self.place[rows], dy, dx)]
        return found

    def _pixel(self, place: NDArray[np.int64], dy: int, dx: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return rows and columns, in a window of the source, of pixel (dy, dx) of the map pixels at `place` (N, 3)."""
        y, x = self.before + place[:, 1:].T * self.ratio.finer // self.ratio.coarser
        return y + dy, x + dx


def by_window(number: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield, in the order of the windows, each number of `number` (N,) and its positions."""
    order = np.argsort(number, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(number[order])) + 1):
        if len(rows):
            yield int(number[rows[0]]), rows


def cut_windows(
    scene: Scene, pixels: Pixels, needs: WindowNeeds, folder: Path, progress: Progress
) -> tuple[dict[str, WindowPixels], Windows, NDArray[np.bool_]]:
    """Cut the windows that contain labelled pixels, or open those in `folder`.

    Returns
    -------
    cuts : source → the map pixel of each labelled pixel
    windows : the windows, and the place of each labelled pixel
    usable : (N,) False where one source (with `any_source`: every source) has no valid date at the pixel

    Raises
    ------
    SamplesError
        There is not enough free disk space.
    """
    place, corners = _lattice(pixels, needs.side)
    cuts, _ = open_cut(folder) if folder.exists() else cut(scene, corners, _Corners(needs), folder, progress)
    index = np.arange(len(pixels))
    found = {
        name: WindowPixels(one, needs.footprints[name].before, needs.ratios[name], place, index)
        for name, one in cuts.items()
    }
    enough = np.any if needs.any_source else np.all
    usable = enough([one.ever_valid() for one in found.values()], axis=0)
    return found, Windows(cuts, needs.side, *place.T), usable


@dataclass(frozen=True)
class _Corners:
    """The windows, as the footprints of their first pixels; whether that pixel is valid does not matter."""

    needs: WindowNeeds
    any_source: bool = True

    @property
    def footprints(self) -> Mapping[str, Any]:
        return self.needs.footprints


def _lattice(pixels: Pixels, side: int) -> tuple[NDArray[np.int64], Pixels]:
    """Return the place (N, 3) of pixels in the windows of the lattice, and the first pixel of each window."""
    start = np.stack([pixels.row, pixels.column], 1).astype(np.int64)
    corner, number = np.unique(start // side, axis=0, return_inverse=True)
    row, column = (corner * side).astype(np.int32).T
    own = np.arange(len(corner), dtype=np.int32)
    first = Pixels(np.ascontiguousarray(row), np.ascontiguousarray(column), np.zeros(len(own), np.int16), own)
    return np.column_stack([number.ravel(), start % side]), first


def check_side(scene: Scene, side: int, step: int) -> None:
    """Check that a scene has windows of `side` map pixels, for a network that needs multiples of `step`.

    Raises
    ------
    SamplesError
        The scene is a table, or the side is no multiple of `step`, smaller than two steps, or larger than the map.
    """
    if scene.ids is not None:
        raise SamplesError(
            "The sources are tables of single pixels: there are no windows to train on ([training] window). Use imagery, or a "
            "model of single pixels."
        )
    least, (height, width) = 2 * step, scene.grid.shape
    most = max(least, -(-max(height, width) // step) * step)
    fitting = min(max(least, -(-side // step) * step), most)
    if side % step or side < least:
        sides = (
            f"be a multiple of {step} map pixels, at least {least}"
            if step > 1
            else "have two map pixels or more a side"
        )
        raise SamplesError(
            f"[training] window is {side}, but windows of this network and these sources must {sides}. Set for example window = "
            f"{fitting}."
        )
    if side > most:
        raise SamplesError(
            f"[training] window is {side}, but the map has {height} x {width} pixels. Set window = {most} or less."
        )
