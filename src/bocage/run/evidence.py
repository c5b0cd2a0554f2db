"""Evidence on the polygons of a search for doubtful ones: pixels, clear dates, inner and border pixels, shifts, overlaps."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.advice.causes import Evidence
from bocage.advice.doubt import Doubt
from bocage.advice.shift import shift_of
from bocage.run.judging import Judged
from bocage.samples import Pixels, Samples
from bocage.scene import Scene

ROWS = 4096
"""Number of samples read at a time."""
MOSTLY = 0.9
"""Share of the pixels that have the class of the label below which a shift is measured."""
USUAL = 0.8
"""Probability of the label at the usual pixel of a class, for shifts."""
FEWEST = 6
"""Minimum number of pixels of a polygon whose shift is measured."""


@dataclass(frozen=True)
class Seen:
    """The samples of a search, all pixels of the polygons, and the predictions."""

    scene: Scene
    samples: Samples
    inner: NDArray[np.bool_]
    """(N,) whether each sample is an inner pixel of its polygon."""
    everything: Pixels
    """All pixels of the polygons."""
    judged: Judged
    doubt: Doubt

    @property
    def has_extent(self) -> bool:
        """Whether the polygons are areas of a map: not for samples of a table."""
        return self.scene.ids is None

    def own(self) -> NDArray[np.float32]:
        """Return the probability of the label of the polygon at each sample, (N,)."""
        pixel = self.judged.pixel
        return pixel[np.arange(len(pixel)), self.samples.label]


def evidence_of(seen: Seen, overlaps: pd.DataFrame, threshold: float) -> Evidence:
    """Return the evidence on the judged polygons; `overlaps` is the table of :func:`overlaps_of`."""
    judged, unit, own = seen.judged, seen.judged.unit, seen.own()
    count = len(judged.polygon)
    series = [name for name, cut in seen.samples.cuts.items() if len(cut.days) > 1]
    known = overlaps.reindex(judged.polygon)
    best = seen.judged.pixel.argmax(1) == seen.samples.label
    split = np.bincount(unit, best, count) / np.bincount(unit, minlength=count)
    sizes = pd.Series(seen.everything.polygon).value_counts().reindex(judged.polygon)
    return Evidence(
        sizes.to_numpy(np.int64),
        _dates(seen, series),
        bool(series),
        seen.has_extent,
        known.same.fillna(0).to_numpy(float),
        known.other.fillna(0).to_numpy(float),
        _mean(own, unit, seen.inner, count),
        _mean(own, unit, ~seen.inner, count),
        split,
        _shifts(seen, relative(seen), split, threshold),
        judged.distance,
    )


def relative(seen: Seen) -> NDArray[np.float64]:
    """Return the probability of the label against the most probable other class at each sample, (N,).

    The odds are divided by their median in the class: the usual pixel of a class that is often confused has the same value,
    ``USUAL``, as that of any other class.
    """
    pixel, label = seen.judged.pixel, seen.samples.label
    index = np.arange(len(pixel))
    others = pixel.copy()
    others[index, label] = 0
    odds = np.maximum(pixel[index, label], 1e-3) / np.maximum(others.max(1), 1e-3)
    for one in np.unique(label):
        odds[label == one] *= USUAL / (1 - USUAL) / np.median(odds[label == one])
    return np.asarray(odds / (1 + odds), np.float64)


def _mean(
    values: NDArray[np.float32], unit: NDArray[np.int64], some: NDArray[np.bool_], count: int
) -> NDArray[np.float64]:
    """Return the mean of the values of `some` samples of each polygon; NaN without one."""
    number = np.bincount(unit[some], minlength=count)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.bincount(unit[some], values[some], count) / number)


def _dates(seen: Seen, series: list[str]) -> NDArray[np.float64]:
    """Return the mean number of clear dates of the samples of each polygon, in the series that has most of them."""
    unit, most = seen.judged.unit, np.zeros(len(seen.judged.unit))
    for name in series:
        cut = seen.samples.cuts[name]
        for start in range(0, len(unit), ROWS):
            part = np.arange(start, min(start + ROWS, len(unit)))
            valid = cut.read(part)[1]
            middle = valid[:, :, valid.shape[2] // 2, valid.shape[3] // 2]
            most[part] = np.maximum(most[part], middle.sum(1))
    return np.asarray(np.bincount(unit, most) / np.bincount(unit))


def _shifts(seen: Seen, own: NDArray[np.float64], split: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """Return the shift of each polygon in metres north and east; NaN where none explains the predictions much better.

    It is measured for doubtful polygons, and for those of which a part of the pixels has another class.
    """
    shifts = np.full((len(seen.judged.polygon), 2), np.nan)
    if not seen.has_extent:
        return shifts
    samples, pixels, (height, width) = seen.samples, seen.everything, seen.scene.grid.metres
    by_polygon = pd.Series(np.arange(len(pixels))).groupby(pixels.polygon).indices
    by_unit = pd.Series(np.arange(len(own))).groupby(seen.judged.unit).indices
    doubtful = np.nan_to_num(seen.doubt.wrong) > threshold
    for k in np.flatnonzero(doubtful | (split < MOSTLY)).tolist():
        members, inside = by_unit[k], by_polygon[int(seen.judged.polygon[k])]
        if len(inside) < FEWEST:
            continue
        place = np.stack([samples.row[members], samples.column[members]], 1)
        found = shift_of(np.stack([pixels.row[inside], pixels.column[inside]], 1), place, own[members])
        if found:
            shifts[k] = -found.down * height, found.right * width
    return shifts
