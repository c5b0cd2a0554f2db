"""Confidence intervals of a mean whose values are not independent, and when a standard error is none."""

import math

import numpy as np
from numpy.typing import NDArray

LEAST = 1e-12
"""Standard deviation below which values are the same but for rounding, as a share of their scale."""


def is_spread(deviation: float, scale: float = 1.0) -> bool:
    """Return whether values vary: without a variance, nothing is known of the error of their mean, which is not 0.

    >>> is_spread(0.01), is_spread(1e-17), is_spread(math.nan)
    (True, False, False)
    """
    return deviation > LEAST * scale


def half_width(values: NDArray[np.float64], ratio: float, coverage: float = 0.95) -> float:
    """Return half the width of the interval of the mean of J values; NaN with fewer than two, or if they are all the same.

    The variance of the mean is that of the values times ``1 / J + ratio`` (Nadeau & Bengio 2003,
    doi:10.1023/A:1024068626366). For draws that share polygons, `ratio` is the test units over the training units. With a `ratio`
    of 1 the interval is that of one more independent value.

    >>> float(round(half_width(np.array([0.7, 0.8, 0.9]), 0.5), 3)), half_width(np.array([0.8, 0.8]), 0.5)
    (0.393, nan)
    """
    count = len(values)
    deviation = float(values.std(ddof=1)) if count > 1 else math.nan
    if not is_spread(deviation):
        return math.nan
    from scipy import stats

    return float(stats.t.ppf((1 + coverage) / 2, count - 1)) * deviation * math.sqrt(1 / count + ratio)
