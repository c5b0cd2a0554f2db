"""Cause of the doubt about a polygon, from its pixels, its dates, its neighbours and its overlap with other polygons."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bocage.advice.doubt import Doubt

Cause = Literal[
    "none", "not_judged", "class", "mixed", "shifted", "small", "dates", "duplicate", "overlap", "outlier", "unclear",
    "no_pixel", "coarser",
]  # fmt: skip
"""Codes of causes; the text of a code has the key ``doctor_cause_<code>``."""
COVERED = 0.5
"""Share of a polygon covered by another one above which they are duplicates."""
SMALL = 4
"""Number of pixels below which a polygon is small."""
DATES = 3
"""Number of clear dates below which a series shows no season."""
FAR = 2.0
"""Distance to the nearest polygon of the class, over the usual one, from which a polygon is an outlier of its class."""
CLEAR = 0.5
"""Probability from which another class is named."""
DIFFERENCE = 0.25
"""Difference of the probabilities of inner pixels and border pixels from which the border has another land cover."""


@dataclass(frozen=True)
class Evidence:
    """What is known of each polygon beside the predictions, arrays (P,)."""

    pixels: NDArray[np.integer]
    """Number of its pixels; 1 for a sample of a table."""
    dates: NDArray[np.floating]
    """Mean number of clear dates of its pixels, of the source that has most."""
    has_series: bool
    """Whether one source has several dates."""
    has_extent: bool
    """Whether polygons have an extent: not for samples of a table."""
    covered_same: NDArray[np.floating]
    """Largest share that another polygon of the same class covers, 0 to 1."""
    covered_other: NDArray[np.floating]
    """Largest share that a polygon of another class covers, 0 to 1."""
    inner: NDArray[np.floating]
    """Mean probability of the label at inner pixels; NaN without inner pixels."""
    border: NDArray[np.floating]
    """Mean probability of the label at border pixels; NaN without border pixels."""
    split: NDArray[np.floating]
    """Share of the pixels of which the label is the most probable class, 0 to 1."""
    shift: NDArray[np.floating]
    """(P, 2) metres by which the polygon should move, north and east; NaN where none was found."""
    distance: NDArray[np.floating]
    """Distance to the nearest polygon of the class, over the usual one."""


def causes_of(doubt: Doubt, found: Evidence, threshold: float) -> NDArray[np.str_]:
    """Return the code of the cause of the doubt about each polygon, (P,); "none" below the threshold.

    Overlaps, duplicates and shifts are also reported for polygons whose label is probably right: a duplicate can be in training
    and in test at once, and the border pixels of a shifted polygon are wrong. The first cause of the following order that
    applies is returned: overlap, too few clear dates, too few pixels, a shift, a mixed polygon, another class, an outlier of its
    class, a duplicate.
    """
    wrong = np.nan_to_num(doubt.wrong) > threshold
    named = doubt.likely[np.arange(len(wrong)), doubt.suggested] >= CLEAR
    mixed = (found.split > 0.2) & (found.split < 0.8) & (found.pixels >= SMALL) & found.has_extent
    edge = (found.inner - found.border >= DIFFERENCE) & (found.inner >= CLEAR)
    cases = [
        (found.covered_other > COVERED, "overlap"),
        (wrong & (found.dates < DATES) & found.has_series, "dates"),
        (wrong & (found.pixels < SMALL) & found.has_extent, "small"),
        (np.isfinite(found.shift).all(1), "shifted"),
        (wrong & (mixed | edge), "mixed"),
        (wrong & named, "class"),
        (wrong & (found.distance >= FAR), "outlier"),
        (wrong, "unclear"),
        (found.covered_same > COVERED, "duplicate"),
        (np.isnan(doubt.wrong), "not_judged"),
    ]
    return np.select([case for case, _ in cases], [name for _, name in cases], "none")
