"""Shifts between images, and between images and polygons, measured from their content.

For each trial shift, a linear regression predicts one source from the other. The share of variance explained (the
multivariate form of correlation) is largest where the fields of both sources coincide. For polygons, the predictor is the
polygon: an analysis of variance between and within polygons. The sensors can be of different kinds: optical and radar
series share field boundaries and seasons.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from bocage.grid import Grid, Window
from bocage.sources.source import Readable, Source, dates_of, spread, with_bands
from bocage.words import Note, chained

REACH = 5
"""Largest trial shift in each direction, in pixels."""
SIDE = 320
"""Largest side of the compared window, in pixels."""
DATES, BANDS, COMPONENTS = 60, 10, 10
"""Largest numbers of dates, bands and principal components used."""
NOTABLE = 0.7
"""Smallest reported shift, in pixels of the finer grid."""
STRENGTH, LEAD = 0.03, 0.01
"""Smallest share of variance explained, and smallest relative gain over no shift, of a reported shift."""
GAIN, CERTAIN = 0.008, 0.02
"""Smallest gain over no shift, as a share of variance, of a shift that several pairs of sources show, and of one pair alone."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Shift:
    """Shift of a source relative to another source or to polygons."""

    rows: float
    """Shift to the south, in pixels."""
    columns: float
    """Shift to the east, in pixels."""
    strength: float
    """Share of variance explained at the best shift, 0 to 1."""
    unshifted: float
    """Share of variance explained without a shift, 0 to 1."""

    @property
    def is_notable(self) -> bool:
        """Whether the shift is large and certain enough to be reported, if other pairs show it too."""
        return (
            max(abs(self.rows), abs(self.columns)) >= NOTABLE
            and self.strength >= STRENGTH
            and self.strength - self.unshifted >= max(LEAD * self.strength, GAIN)
        )

    @property
    def is_certain(self) -> bool:
        """Whether the shift is certain enough to be reported if no other pair shows it: small scenes give small gains by chance."""
        return self.is_notable and self.strength - self.unshifted >= CERTAIN

    def note(self, metres: tuple[float, float]) -> Note:
        """Return size and direction as a note. `metres`: height and width of a pixel on the ground.

        >>> str(Shift(0.0, 1.0, 0.5, 0.2).note((10, 10)))
        '1.0 px (10 m) east'
        """
        parts = []
        axes = ((self.rows, ("south", "north")), (self.columns, ("east", "west")))
        for (size, (ahead, back)), side in zip(axes, metres, strict=True):
            if abs(size) >= NOTABLE / 2:
                towards = f"shift_{ahead if size > 0 else back}"
                parts.append(Note.of(towards, pixels=abs(size), metres=abs(size) * side))
        return chained("and", parts or [Note.of("no_shift")])


@dataclass(frozen=True)
class View:
    """Content of a source in a window."""

    layers: Floats
    """Principal components (n, y, x)."""
    rows: NDArray[np.bool_]
    """bool (y,): rows of which most pixels are valid; a raster can end inside the window."""
    columns: NDArray[np.bool_]
    """bool (x,): columns of which most pixels are valid."""

    def cropped(self, rows: NDArray[np.bool_], columns: NDArray[np.bool_], blur: int = 1) -> Floats:
        """Return the layers between the first and the last of the given rows and columns, blurred over `blur` pixels."""
        (top, *_, bottom), (left, *_, right) = np.flatnonzero(rows), np.flatnonzero(columns)
        return blurred(self.layers, blur)[:, top : bottom + 1, left : right + 1]


def blurred(layers: Floats, size: int) -> Floats:
    """Return the layers smoothed twice by a mean of `size` pixels; the second mean is mirrored, so that nothing is shifted.

    Smoothing removes the pixel edges of a coarse image on a finer grid, which would dominate the comparison.
    """
    for axis in (1, 2) if size > 1 else ():
        layers = uniform_filter1d(layers, size, axis=axis)
        layers = uniform_filter1d(layers, size, axis=axis, origin=0 if size % 2 else -1)
    return layers


def between(first: View, second: View, blur: int = 1) -> Shift | None:
    """Return the shift of the second source relative to the first; None if it cannot be measured.

    The shift is the mean of two measurements, with each source as the predictor of the other: errors from content that
    only one source shows have opposite signs.

    Parameters
    ----------
    blur
        Side of a pixel of the coarser source, in pixels of the window.
    """
    rows, columns = first.rows & second.rows, first.columns & second.columns
    if not large_enough(rows, columns):
        return None
    a, b = first.cropped(rows, columns, blur), second.cropped(rows, columns, blur)
    forward, backward = _explained_by(a, b), _explained_by(b, a)
    if forward is None or backward is None:
        return None
    return Shift(
        (forward.rows - backward.rows) / 2,
        (forward.columns - backward.columns) / 2,
        (forward.strength + backward.strength) / 2,
        (forward.unshifted + backward.unshifted) / 2,
    )


def _explained_by(predictor: Floats, other: Floats) -> Shift | None:
    inner = predictor[:, REACH:-REACH, REACH:-REACH].reshape(len(predictor), -1)
    basis, _ = np.linalg.qr(np.vstack([np.ones(inner.shape[1]), inner]).T)

    def explained(trial: Floats) -> float:
        centred = trial - trial.mean(1, keepdims=True)
        total = float((centred**2).sum())
        return float(((centred @ basis) ** 2).sum()) / total if total > 0 else 0.0

    return _best(other, explained)


def large_enough(rows: NDArray[np.bool_], columns: NDArray[np.bool_]) -> bool:
    """Whether enough rows and columns are valid to try all shifts."""
    return min(int(rows.sum()), int(columns.sum())) >= 4 * REACH


def from_polygons(polygon: NDArray[np.int64], second: View) -> Shift | None:
    """Return the shift of a source relative to polygons; None if it cannot be measured.

    Parameters
    ----------
    polygon : (y, x)
        Polygon number of each pixel of the window, -1 outside polygons.
    """
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
        means = np.stack([np.bincount(number, layer) / size for layer in inside])
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
        return None  # a maximum at the border of the trial shifts is not a local maximum
    rows = y - REACH + _summit(score[y - 1 : y + 2, x])
    columns = x - REACH + _summit(score[y, x - 1 : x + 2])
    return Shift(float(rows), float(columns), float(score[y, x]), float(score[REACH, REACH]))


def _summit(three: Floats) -> float:
    """Return the position of the maximum of the parabola through three neighbours, relative to the middle one."""
    bend = three[0] - 2 * three[1] + three[2]
    return float(0.5 * (three[0] - three[2]) / bend) if bend < 0 else 0.0


def view(source: Readable, grid: Grid, window: Window) -> View | None:
    """Return the content of a source in a window, from a sample of dates and bands; None without usable data.

    Dates with less than 60 % of valid pixels are left out. Invalid pixels of other dates get the median of
    the band on that date.
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
    """Return the source with a regular sample of its dates and bands."""
    sampled = dates_of(source, DATES)
    if not isinstance(sampled, Source):
        return sampled
    return with_bands(sampled, [sampled.bands[i] for i in spread(len(sampled.bands), BANDS)])
