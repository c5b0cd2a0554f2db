"""Offsets between images, and between images and polygons, measured from what they show.

Two sources see the same fields in different colours: for each trial shift, how much of the one's variance a linear
regression on the other explains (the multivariate form of correlation) is greatest where fields lie on themselves. For
polygons the predictor is the polygon itself: an analysis of variance between and within them. Sensors may differ in
kind: optical series and radar series share field boundaries and seasons.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from bocage.grid import Grid, Window
from bocage.sources.source import Readable, Source, dates_of, spread, with_bands

REACH = 5
"""Pixels a side that are tried."""
SIDE = 320
"""Pixels a side of the window compared, at most."""
DATES, BANDS, COMPONENTS = 60, 10, 10
NOTABLE = 0.7
"""Pixels of the finer grid from which on a shift is told."""
STRENGTH, LEAD = 0.03, 0.01
"""Share of variance explained, and lead over no shift, below which nothing can be said."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Shift:
    """How the second of two things lies with respect to the first."""

    rows: float
    """Pixels southward."""
    columns: float
    """Pixels eastward."""
    strength: float
    """Share of variance explained at the best shift, 0 to 1."""
    unshifted: float
    """The same without a shift."""

    @property
    def is_notable(self) -> bool:
        """Whether it is large enough, and sure enough, to be told."""
        return (
            max(abs(self.rows), abs(self.columns)) >= NOTABLE
            and self.strength >= STRENGTH
            and self.strength - self.unshifted >= LEAD * self.strength
        )

    def told(self, resolution: float) -> str:
        """Say size and direction: ``1.0 px (10 m) east``."""
        parts = []
        for size, (ahead, back) in ((self.rows, ("south", "north")), (self.columns, ("east", "west"))):
            if abs(size) >= NOTABLE / 2:
                parts.append(f"{abs(size):.1f} px ({abs(size) * resolution:.3g} m) {ahead if size > 0 else back}")
        return " and ".join(parts)


@dataclass(frozen=True)
class View:
    """What a source shows in a window."""

    layers: Floats
    """Principal components (n, y, x)."""
    rows: NDArray[np.bool_]
    """(y,): rows that were seen for the most part; a raster may end before the window does."""
    columns: NDArray[np.bool_]
    """(x,)."""

    def cropped(self, rows: NDArray[np.bool_], columns: NDArray[np.bool_], blur: int = 1) -> Floats:
        """Return the layers between the first and last of the rows and columns given, blurred over `blur` pixels."""
        (top, *_, bottom), (left, *_, right) = np.flatnonzero(rows), np.flatnonzero(columns)
        return blurred(self.layers, blur)[:, top : bottom + 1, left : right + 1]


def blurred(layers: Floats, size: int) -> Floats:
    """Average twice over `size` pixels, the second time from the other side, which leaves everything in its place.

    The pixels of a coarse image, repeated on a finer grid, have edges of their own; they must not attract one another.
    """
    for axis in (1, 2) if size > 1 else ():
        layers = uniform_filter1d(layers, size, axis=axis)
        layers = uniform_filter1d(layers, size, axis=axis, origin=0 if size % 2 else -1)
    return layers


def between(first: View, second: View, blur: int = 1) -> Shift | None:
    """Measure how the second source lies with respect to the first; None where nothing can be measured.

    Each is explained by the other in turn, and the mean is taken: what one of them alone shows pulls in opposite ways.

    Parameters
    ----------
    blur
        Pixels of the window's grid that a pixel of the coarser source spans.
    """
    rows, columns = first.rows & second.rows, first.columns & second.columns
    if not large_enough(rows, columns):
        return None
    one, other = first.cropped(rows, columns, blur), second.cropped(rows, columns, blur)
    there, back = _explained_by(one, other), _explained_by(other, one)
    if there is None or back is None:
        return None
    return Shift(
        (there.rows - back.rows) / 2,
        (there.columns - back.columns) / 2,
        (there.strength + back.strength) / 2,
        (there.unshifted + back.unshifted) / 2,
    )


def _explained_by(one: Floats, other: Floats) -> Shift | None:
    inner = one[:, REACH:-REACH, REACH:-REACH].reshape(len(one), -1)
    basis, _ = np.linalg.qr(np.vstack([np.ones(inner.shape[1]), inner]).T)

    def explained(trial: Floats) -> float:
        centred = trial - trial.mean(1, keepdims=True)
        total = float((centred**2).sum())
        return float(((centred @ basis) ** 2).sum()) / total if total > 0 else 0.0

    return _best(other, explained)


def large_enough(rows: NDArray[np.bool_], columns: NDArray[np.bool_]) -> bool:
    """Whether what is left of a window can be shifted and compared."""
    return min(int(rows.sum()), int(columns.sum())) >= 4 * REACH


def from_polygons(polygon: NDArray[np.int64], second: View) -> Shift | None:
    """Measure how a source lies with respect to polygons: their number at each pixel of the window, -1 outside."""
    if not large_enough(second.rows, second.columns):
        return None
    (top, *_, bottom), (left, *_, right) = np.flatnonzero(second.rows), np.flatnonzero(second.columns)
    number = polygon[top : bottom + 1, left : right + 1][REACH:-REACH, REACH:-REACH].ravel()
    known = number >= 0
    if len(np.unique(number[known])) < 3:
        return None
    number = np.unique(number[known], return_inverse=True)[1]
    size = np.bincount(number)

    def explained(other: Floats) -> float:
        inside = other[:, known]
        total = float(((inside - inside.mean(1, keepdims=True)) ** 2).sum())
        means = np.stack([np.bincount(number, one) / size for one in inside])
        return 1 - float(((inside - means[:, number]) ** 2).sum()) / total if total > 0 else 0.0

    return _best(second.cropped(second.rows, second.columns), explained)


def _best(second: Floats, explained: Callable[[Floats], float]) -> Shift | None:
    _, height, width = second.shape
    trials = range(-REACH, REACH + 1)
    score = np.array(
        [
            [
                explained(second[:, REACH + dy : height - REACH + dy, REACH + dx : width - REACH + dx].reshape(len(second), -1))
                for dx in trials
            ]
            for dy in trials
        ]
    )  # fmt: skip
    y, x = np.unravel_index(score.argmax(), score.shape)
    if not (0 < y < 2 * REACH and 0 < x < 2 * REACH):
        return None  # the best lies at the edge of what was tried: this is no summit
    rows = y - REACH + _summit(score[y - 1 : y + 2, x])
    columns = x - REACH + _summit(score[y, x - 1 : x + 2])
    return Shift(float(rows), float(columns), float(score[y, x]), float(score[REACH, REACH]))


def _summit(three: Floats) -> float:
    """Place of the highest point of the parabola through three neighbours, from the middle one."""
    bend = three[0] - 2 * three[1] + three[2]
    return float(0.5 * (three[0] - three[2]) / bend) if bend < 0 else 0.0


def view(source: Readable, grid: Grid, window: Window) -> View | None:
    """What a source shows in a window, over some dates and bands; None where there is nothing to see.

    Dates that clouds cover for the most part are left out; what they cover else is set to the date's median.
    """
    values, valid = _sample(source).read(grid, window, "bilinear")
    layers = []
    for date, seen in zip(values, valid, strict=True):
        if seen.mean() >= 0.6:
            for band in date:
                filled = np.where(seen, band, np.median(band[seen])).astype(np.float64)
                spread = filled.std()
                if spread > 0:
                    layers.append((filled - filled.mean()).ravel() / spread)
    if not layers:
        return None
    stack = np.stack(layers)
    weights, vectors = np.linalg.eigh(stack @ stack.T)
    kept = [i for i in np.argsort(-weights)[:COMPONENTS] if weights[i] > 1e-9 * weights[-1]]
    main = vectors[:, kept].T @ stack / np.sqrt(weights[kept])[:, None] * np.sqrt(stack.shape[1])
    ever = valid.mean(0) > 0.1
    return View(main.reshape(len(kept), window.height, window.width), ever.mean(1) > 0.5, ever.mean(0) > 0.5)


def _sample(source: Readable) -> Readable:
    """Some dates and bands of a source, evenly spread."""
    some = dates_of(source, DATES)
    return (
        with_bands(some, [some.bands[i] for i in spread(len(some.bands), BANDS)]) if isinstance(some, Source) else some
    )
