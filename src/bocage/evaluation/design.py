"""Sample size and allocation of a stratified random sample for the validation of a map.

Cochran 1977, *Sampling Techniques*, eq. 5.25, as recommended by Olofsson et al. 2014 (doi:10.1016/j.rse.2014.02.015, sec. 5.1).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from bocage.errors import EvaluationError
from bocage.ranges import SEED, Range, check_ranges


@dataclass(frozen=True)
class SampleDesign:
    """Requirements for a validation sample.

    Raises
    ------
    EvaluationError
        A value is out of range.
    """

    error: Annotated[float, Range(0, 0.5, above=True, below=True)] = 0.01
    """Target standard error of the overall accuracy, above 0 and below 0.5; the 95 % interval is about ± twice this."""
    accuracy: Annotated[float, Range(0, 1, above=True, below=True)] = 0.8
    """Expected user's accuracy of each class, between 0 and 1, unless `expected` gives another value for the class."""
    least: Annotated[int, Range(2, 1_000_000)] = 30
    """Minimum number of pixels of each class, at least 2: the accuracy of a rare class depends on its own pixels."""
    allocation: Literal["proportional", "equal"] = "proportional"
    """Allocation of the other pixels: proportional to the area, or equal for all classes."""
    size: Annotated[int, Range(0, 100_000_000)] = 0
    """Total number of pixels; 0: the number that `error` requires."""
    seed: Annotated[int, SEED] = 0

    def __post_init__(self) -> None:
        try:
            check_ranges(self)
        except ValueError as error:
            raise EvaluationError(f"Validation sample: {error}.") from error


def sample_size(shares: Sequence[float], expected: Sequence[float], error: float, population: float = math.inf) -> int:
    """Return the size of a stratified sample for a given standard error of the overall accuracy.

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
    """Allocate a sample to the strata: stratum → pixels to draw, at most its number of pixels.

    Each stratum gets `least` pixels, or all its pixels if it has fewer. The other pixels are allocated by area or equally.

    Raises
    ------
    EvaluationError
        All strata are empty.
    """
    strata = {h: n for h, n in pixels.items() if n}
    if not strata:
        raise EvaluationError("The map has no classified pixel: nothing to sample.")
    total = sum(strata.values())
    users = [(expected or {}).get(h, design.accuracy) for h in strata]
    size = design.size or sample_size([n / total for n in strata.values()], users, design.error, total)
    least = {h: min(design.least, n) for h, n in strata.items()}
    if design.allocation == "equal":
        rest = max(0, size - sum(least.values()))
        more = _whole(dict.fromkeys(strata, rest / len(strata)))
        return {h: min(n, least[h] + more[h]) for h, n in strata.items()}
    plan: dict[int, int] = {}  # classes that get more than `least` by area alone share what the others leave
    while len(plan) < len(strata):
        large = {h: n for h, n in strata.items() if h not in plan}
        part = (size - sum(plan.values())) / sum(large.values())
        small = {h: least[h] for h, n in large.items() if part * n < least[h]}
        plan |= small or _whole({h: part * n for h, n in large.items()})
    return {h: min(n, plan[h]) for h, n in strata.items()}


def _whole(shares: Mapping[int, float]) -> dict[int, int]:
    """Return whole numbers with the same total, rounded up where the remainders are largest."""
    whole = {h: math.floor(share + 1e-9) for h, share in shares.items()}
    missing = round(sum(shares.values())) - sum(whole.values())
    for h in sorted(shares, key=lambda h: whole[h] - shares[h])[:missing]:
        whole[h] += 1
    return whole
