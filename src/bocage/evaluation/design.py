"""How many pixels to look at, and how many in each class: a stratified random sample for the validation of a map.

Cochran 1977, *Sampling Techniques*, eq. 5.25, as recommended by Olofsson et al. 2014 (doi:10.1016/j.rse.2014.02.015, sec. 5.1).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bocage.errors import EvaluationError


@dataclass(frozen=True)
class SampleDesign:
    """What is wanted of a validation sample."""

    error: float = 0.01
    """Standard error wanted for the overall accuracy, above 0: half the width of the 95 % interval is about twice this."""
    accuracy: float = 0.8
    """User's accuracy that every class is expected to have, between 0 and 1, where `expected` says nothing else."""
    least: int = 30
    """Fewest pixels of each class, at least 2: the share of a rare class is what its own pixels tell."""
    allocation: Literal["proportional", "equal"] = "proportional"
    """How the rest is shared out: by area, or the same for every class."""
    size: int = 0
    """Pixels in all; 0: as many as `error` asks for."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.error < 0.5 or not 0 < self.accuracy < 1:
            raise EvaluationError(
                f"The standard error lies between 0 and 0.5, the expected accuracy between 0 and 1; found {self.error} and "
                f"{self.accuracy}."
            )
        if self.least < 2 or self.size < 0:
            raise EvaluationError(
                f"Each class needs 2 pixels or more, and the size is not negative; found {self.least}, {self.size}."
            )


def sample_size(shares: Sequence[float], expected: Sequence[float], error: float, population: float = math.inf) -> int:
    """Pixels that a stratified sample needs for a standard error of the overall accuracy.

    ``n = (Σ W S)² / (error² + Σ W S² / N)`` with ``S² = U (1 − U)``.

    >>> sample_size([0.02, 0.015, 0.32, 0.645], [0.7, 0.6, 0.9, 0.95], 0.01)  # Olofsson et al. 2014, sec. 5.1.1
    641
    """
    weight, user = np.asarray(shares, float), np.asarray(expected, float)
    deviation = np.sqrt(user * (1 - user))
    within = float(weight @ deviation**2) / population
    return math.ceil(float(weight @ deviation) ** 2 / (error**2 + within))


def allocate(
    pixels: Mapping[int, int], design: SampleDesign, expected: Mapping[int, float] | None = None
) -> dict[int, int]:
    """Share a sample out to the strata: stratum → pixels to draw, never more than it has.

    Every stratum that has them gets `least`; the rest goes by area or equally.
    """
    there = {h: n for h, n in pixels.items() if n}
    if not there:
        raise EvaluationError("The map holds no class: there is nothing to sample.")
    total = sum(there.values())
    users = [(expected or {}).get(h, design.accuracy) for h in there]
    wanted = design.size or sample_size([n / total for n in there.values()], users, design.error, total)
    least = {h: min(design.least, n) for h, n in there.items()}
    rest = max(0, wanted - sum(least.values()))
    weight = {h: (n / total if design.allocation == "proportional" else 1 / len(there)) for h, n in there.items()}
    if design.allocation == "proportional":  # classes that get more than `least` by area alone keep their share
        large = {h for h in there if wanted * weight[h] > least[h]}
        spare = sum(weight[h] for h in large) or 1.0
        kept = max(0, wanted - sum(n for h, n in least.items() if h not in large))
        return {
            h: min(there[h], max(least[h], round(kept * weight[h] / spare)) if h in large else least[h]) for h in there
        }
    return {h: min(there[h], least[h] + round(rest * weight[h])) for h in there}
