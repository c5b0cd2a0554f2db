"""Shift of a polygon against its field, from the probability of its label at its pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REACH = 4
"""Largest shift that is tried, in pixels."""
GAIN = 4.0
"""Gain of the log-likelihood from which a shift is reported; about exp(4) times more likely than no shift."""
OUTSIDE = 0.02
"""Lowest and highest probability that counts: a few pixels must not decide."""


@dataclass(frozen=True)
class Shift:
    """Displacement of a polygon, in pixels."""

    down: int
    right: int
    gain: float
    """Gain of the log-likelihood over that without a shift."""


def shift_of(
    inside: NDArray[np.integer], place: NDArray[np.integer], probability: NDArray[np.floating]
) -> Shift | None:
    """Return by how much a polygon should move to lie on its field; None if no shift explains its pixels much better.

    If the field is the polygon moved by a shift, pixels of the polygon that are inside the moved polygon have the class of the
    label, and the others have not. The shift with the highest likelihood of the held-out probabilities is chosen. At least half
    of the pixels must stay inside, and their mean probability be above one half. The gain is that over the likelihoods that all
    pixels have the class of the label, and that none has.

    Parameters
    ----------
    inside : (M, 2)
        Row and column of all pixels of the polygon.
    place : (N, 2)
        Row and column of those with a prediction.
    probability : (N,)
        Probability of the label at these pixels.
    """
    likely = np.clip(probability, OUTSIDE, 1 - OUTSIDE)
    low = inside.min(0) - REACH
    mask = np.zeros(inside.max(0) - low + 1 + REACH, bool)
    mask[tuple((inside - low).T)] = True
    at = place - low
    usual, best = max(float(np.log(likely).sum()), float(np.log(1 - likely).sum())), None
    for down in range(-REACH, REACH + 1):
        for right in range(-REACH, REACH + 1):
            kept = mask[tuple((at - (down, right)).T)]
            if kept.mean() < 0.5 or kept.all() or likely[kept].mean() < 0.5:
                continue
            gain = float(np.where(kept, np.log(likely), np.log(1 - likely)).sum()) - usual
            if gain >= GAIN and (best is None or gain > best.gain):
                best = Shift(down, right, gain)
    return best
