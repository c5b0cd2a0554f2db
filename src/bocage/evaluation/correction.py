"""Areas of a map corrected for its errors by a model, from polygons that are no probability sample.

Confusion matrices have the reference in rows, as in the whole package.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import EvaluationError
from bocage.intervals import is_spread

STEPS = 20_000
"""Maximum number of steps towards the corrected shares."""
MISFIT = 0.005
"""Largest misfit of a correction: half a point of the mapped area."""
SINGULAR = 1e6
"""Condition number above which rates of confusion cannot be inverted."""


@dataclass(frozen=True)
class Corrected:
    """Areas corrected for the errors of the map by a model; no sampling design, and therefore no confidence interval."""

    area: tuple[float, ...]
    """Corrected share of each class in the mapped area, 0 to 1."""
    error: tuple[float, ...]
    """Standard error of the correction under its model; NaN of a class with one polygon, whose part in the errors of the other
    classes is left out, of a class that is confused in no polygon, so that the error is not known, and of all classes if the
    confusion matrix cannot be inverted."""
    mapped: tuple[float, ...]
    """Share of each class in the map, 0 to 1."""
    names: tuple[str, ...]
    units: int
    """Number of polygons."""
    misfit: float = 0.0
    """Largest difference between the share of a class in the map and the share that the corrected areas and the rates of
    confusion give, 0 to 1."""
    condition: float = 1.0
    """Condition number of the rates of confusion: the larger, the more the areas depend on small errors of the rates."""

    @property
    def fits(self) -> bool:
        """Whether the model gives the areas of the map, by rates of confusion that can be inverted."""
        return self.misfit <= MISFIT and not self.singular

    @property
    def singular(self) -> bool:
        """Whether the rates of confusion cannot be inverted: different areas give those of the map."""
        return self.condition > SINGULAR

    def check(self) -> None:
        """Check that the model fits.

        Raises
        ------
        EvaluationError
            It does not: with the rates of confusion of the polygons, no areas or several ones give those of the map.
        """
        if self.singular:
            raise EvaluationError(
                "by the rates of confusion of the test polygons, the map does not separate its classes, so that different areas "
                "explain the mapped ones."
            )
        if not self.fits:
            raise EvaluationError(
                "the rates of confusion of the test polygons do not explain the mapped areas (largest difference "
                f"{100 * self.misfit:.1f} points of the mapped area, condition number of the rates {self.condition:.0f})."
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the correction as stored in JSON files; None (null) for a missing value."""
        rows = zip(self.names, self.area, self.error, self.mapped, strict=True)
        per_class = {
            name: {"area_share": area, "model_error": None if math.isnan(error) else error, "mapped_share": mapped}
            for name, area, error, mapped in rows
        }
        model = "share of each class such that its rates of confusion, measured on polygons, give the shares of the map"
        return {"model": model, "polygons": self.units, "misfit": self.misfit, "per_class": per_class}


def corrected(
    mapped: NDArray[Any],
    reference: NDArray[Any],
    polygon: NDArray[Any],
    map_share: Sequence[float],
    names: Sequence[str],
) -> Corrected:
    """Correct the mapped shares by the rates of confusion within each reference class.

    The classical calibration estimator (Czaplewski & Catts 1992, doi:10.1016/0034-4257(92)90138-A): the shares p for which
    ``p @ C`` is the map's shares, where ``C[i, j]`` is the rate at which class i is mapped as class j. The rates are measured
    within each reference class, so the number of polygons of a class has no effect. The model: the polygons of a class are
    representative of the class over the whole map. Shares are kept between 0 and 1 by maximum likelihood (EM, as in Saerens et
    al. 2002, doi:10.1162/089976602753284446); where the inverse of C gives such shares, the result is the same. Elsewhere no
    shares give those of the map: the misfit says by how much.

    Parameters
    ----------
    mapped, reference : (N,)
        Indices in `names` of the map class and the reference class of each pixel.
    polygon : (N,)
        Polygon of each pixel.
    map_share : (K,)
        Share of each class in the map.

    Raises
    ------
    EvaluationError
        A class has no pixel: its rates are unknown.
    """
    k, share = len(names), np.asarray(map_share, float)
    counts = np.bincount(np.asarray(reference, np.int64) * k + mapped, minlength=k * k).reshape(k, k)
    absent = [name for name, n in zip(names, counts.sum(1), strict=True) if not n]
    if absent:
        raise EvaluationError(
            f"No reference pixel of: {', '.join(absent)}. A correction needs the confusions of every class."
        )
    rates = counts / counts.sum(1, keepdims=True)
    area = explaining(rates, share)
    units = np.unique(np.stack([polygon, reference], 1), axis=0, return_inverse=True)[1].ravel()
    error = _model_error(area, rates, counts.sum(1), (units, np.asarray(mapped), np.asarray(reference)))
    whole, misfit = tuple(float(v) for v in share), float(np.abs(area @ rates - share / share.sum()).max())
    found = tuple(map(float, area)), error, whole, tuple(names), len(np.unique(polygon))
    return Corrected(*found, misfit, float(np.linalg.cond(rates)))


def explaining(rates: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shares p (K,), between 0 and 1, for which ``p @ rates`` has the highest likelihood of `share` (K,) (EM)."""
    k = len(share)
    area = 0.9 * share / share.sum() + 0.1 / k  # a class that is not mapped may still exist
    for _ in range(STEPS):
        expected = area @ rates
        new = area * (rates @ np.divide(share, expected, out=np.zeros(k), where=expected > 0))
        done = float(np.abs(new - area).max()) < 1e-12
        area = new / new.sum()
        if done:
            break
    return np.asarray(area)


def _model_error(
    area: NDArray[np.float64],
    rates: NDArray[np.float64],
    held: NDArray[Any],
    pixels: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
) -> tuple[float, ...]:
    """Return the standard errors of the corrected shares (K,), by linearisation over the polygons of each class.

    `held` (K,) is the number of pixels of each reference class, and `pixels` the polygon (0 to U − 1), the map class and the
    reference class of each pixel. A class with one polygon has NaN, and no part in the errors of the other classes. So has a
    class whose rates do not vary between polygons: nothing is known of its error, which is not 0.
    """
    k, (unit, mapped, reference) = len(area), pixels
    if np.linalg.cond(rates) > SINGULAR:
        return (math.nan,) * k
    of_unit = np.zeros(int(unit.max()) + 1, np.int64)
    of_unit[unit] = reference
    counts = np.bincount(unit * k + mapped, minlength=len(of_unit) * k).reshape(-1, k)
    change = (counts - counts.sum(1, keepdims=True) * rates[of_unit]) / held[of_unit][:, None]
    influence = (area[of_unit][:, None] * change) @ np.linalg.inv(rates)
    n = np.bincount(of_unit, minlength=k)
    few = np.where(n > 1, n / np.maximum(n - 1, 1), 0.0)[of_unit][:, None]
    errors = np.sqrt((few * influence**2).sum(0))
    return tuple(float(e) if several and is_spread(e) else math.nan for e, several in zip(errors, n > 1, strict=True))
