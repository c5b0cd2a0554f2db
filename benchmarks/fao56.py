"""Water balance of one soil layer: FAO Irrigation and Drainage Paper 56 (Allen, Pereira, Raes & Smith 1998).

Evapotranspiration is that of the reference surface (crop coefficient 1), from minimum and maximum temperature.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SOLAR, LATENT = 0.0820, 2.45
"""Solar constant in MJ m⁻² min⁻¹; latent heat of vaporisation in MJ kg⁻¹."""
EASY = 0.5
"""Share of the capacity that evaporates without stress (p): the value of paper 56 for many crops."""


def extraterrestrial(latitude: float, day: NDArray[np.int64]) -> Floats:
    """Return the extraterrestrial radiation in MJ m⁻² day⁻¹ (eq. 21 to 25) of days of the year; latitude in degrees, south < 0.

    >>> extraterrestrial(-20.0, np.array([246])).round(1).tolist()  # example 8: 3 September at 20° south
    [32.2]
    """
    angle, phi = 2 * np.pi / 365 * day, np.radians(latitude)
    distance = 1 + 0.033 * np.cos(angle)
    declination = 0.409 * np.sin(angle - 1.39)
    sunset = np.arccos(np.clip(-np.tan(phi) * np.tan(declination), -1, 1))
    height = sunset * np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.sin(sunset)
    return np.asarray(24 * 60 / np.pi * SOLAR * distance * height)


def hargreaves(low: Floats, high: Floats, radiation: Floats) -> Floats:
    """Return the reference evapotranspiration in mm day⁻¹ (eq. 52) of minimum and maximum temperature in °C, at least 0.

    >>> hargreaves(np.array([14.8]), np.array([26.6]), np.array([40.6])).round(1).tolist()  # example 20: Lyon in July
    [5.0]
    """
    mean = (low + high) / 2
    return np.maximum(0, 0.0023 * (mean + 17.8) * np.sqrt(np.maximum(0, high - low)) * radiation / LATENT)


@dataclass(frozen=True)
class Balance:
    """Daily water balance of a soil; all arrays have a value for each day."""

    depletion: Floats
    """Depletion of the root zone at the end of the day, mm: 0 at field capacity."""
    stress: Floats
    """Water stress coefficient Ks: 1 without stress, 0 at the wilting point."""
    actual: Floats
    """Actual evapotranspiration, mm day⁻¹."""


def balance(rain: Floats, demand: Floats, capacity: float, depletion: float = 0.0, easy: float = EASY) -> Balance:
    """Return the daily water balance (eq. 84 and 85) of a soil.

    Rain and potential evapotranspiration are in mm day⁻¹, capacity (total available water) and the first depletion in mm.
    Without runoff, irrigation and capillary rise; water above field capacity percolates.

    >>> dry = balance(np.zeros(6), np.full(6, 1.2 * 5), 160.0, 55.0, 0.4)  # example 36: tomatoes in ten days without rain
    >>> dry.stress.round(2).tolist()  # third day: (160 - 67) / ((1 - 0.4) * 160)
    [1.0, 1.0, 0.97, 0.91, 0.85, 0.8]
    >>> dry.depletion.round(1).tolist()
    [61.0, 67.0, 72.8, 78.3, 83.4, 88.2]
    """
    found = np.empty((3, len(rain)))
    for day, (mm, potential) in enumerate(zip(rain, demand, strict=True)):
        stress = min(1.0, (capacity - depletion) / ((1 - easy) * capacity))
        actual = stress * potential
        depletion = float(np.clip(depletion - mm + actual, 0, capacity))
        found[:, day] = depletion, stress, actual
    return Balance(*found)
