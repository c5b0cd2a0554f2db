"""Reflectance and backscatter of land cover on a day.

Vegetation is a mixture of leaves and soil, whose proportion follows the crop calendar of each parcel. Textures multiply the
brightness by patterns of mean 1 and equal variance, so that averages of pixels cannot distinguish them.
"""

import numpy as np
from numpy.typing import NDArray

from bocage.simulate.climate import stages
from bocage.simulate.landscape import Ground, World
from bocage.simulate.noise import Floats, normal, smooth, uniform
from bocage.simulate.rain import water

BANDS = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")
LEAVES = np.array([0.030, 0.062, 0.036, 0.095, 0.270, 0.335, 0.365, 0.380, 0.180, 0.085])
SOIL = np.array([0.075, 0.105, 0.140, 0.165, 0.185, 0.205, 0.225, 0.240, 0.300, 0.265])
ROOF = np.array([0.130, 0.150, 0.185, 0.195, 0.205, 0.215, 0.225, 0.230, 0.260, 0.240])
WATER = np.array([0.060, 0.055, 0.038, 0.030, 0.022, 0.019, 0.016, 0.014, 0.009, 0.007])
PAN_WEIGHTS = {"blue": 0.25, "green": 0.35, "red": 0.40}

# class code → minimum and maximum fractional cover, day of the year of the peak, half width of the season in days
SEASONS = {
    1: (0.35, 0.90, 60, 110),
    2: (0.08, 0.85, 75, 38),
    3: (0.08, 0.85, 121, 38),
    4: (0.15, 0.70, 160, 60),
    5: (0.15, 0.70, 160, 60),
    6: (0.45, 0.75, 50, 90),
    7: (0.74, 0.84, 60, 100),
    8: (0.74, 0.84, 60, 100),
    9: (0.74, 0.84, 60, 100),
    10: (0.40, 0.66, 55, 95),
    11: (0.18, 0.26, 60, 100),
    12: (0.03, 0.10, 50, 80),
    13: (0.0, 0.0, 50, 80),
}
TONE = {1: 1.04, 6: 1.05, 7: 0.86, 8: 0.86, 9: 0.86, 10: 0.97}
"""Brightness factor of a class, relative to the mixture of leaves and soil (canopy shadow)."""

# class code → backscatter in dB without vegetation (VV, VH), then the increase in dB at full cover (VV, VH)
BACKSCATTER = {
    1: (-11.0, -18.0, 1.5, 4.0),
    2: (-11.5, -19.0, 1.5, 4.5),
    3: (-11.5, -19.0, 1.5, 4.5),
    4: (-11.5, -19.0, 1.0, 3.0),
    5: (-9.0, -14.5, 1.0, 3.0),
    6: (-12.5, -19.5, 1.0, 2.0),
    7: (-9.5, -16.5, 0.5, 2.5),
    8: (-9.5, -16.5, 0.5, 2.5),
    9: (-9.5, -16.5, 0.5, 2.5),
    10: (-11.5, -18.5, 1.0, 3.0),
    11: (-5.5, -13.0, 0.0, 0.0),
    12: (-13.0, -21.5, 0.0, 1.0),
    13: (-20.0, -27.0, 0.0, 0.0),
}


def _of_class(ground: Ground, table: dict[int, float], default: float) -> Floats:
    return np.array([table.get(code, default) for code in range(14)])[ground.code]


def cover(world: World, ground: Ground, day: int) -> Floats:
    """Return the fractional vegetation cover of each point, 0 to 1, on a day of the year (1 to 366).

    Sowing date and vigour vary between parcels. The year shifts the season of all parcels, the delay that of the east. In a
    world with a warmth, growing degree days replace the day, except for the harvest of sugar cane. In a world with rains, only
    gardens follow the day (:func:`_rainfed`).
    """
    stage = stages(world, day)[ground.code]
    low, high, peak, half = (
        np.array([SEASONS.get(c, (0.0,) * 4)[k] for c in range(14)])[ground.code] for k in range(4)
    )
    shift = 9 * normal(world.key, world.year, 61) + 9 * ground.parcel_normal(world.key, world.year, 62)
    shift = shift + np.where(ground.x > world.border, world.delay, 0.0)
    vigour = 1 + 0.14 * ground.parcel_normal(world.key, world.year, 63)
    level = 0.06 * ground.parcel_normal(world.key, 64)
    within = 0.12 * (smooth(ground.x, ground.y, 22, world.key + 65) - 0.5)
    season = _bell(stage, peak + shift, half)
    gardens = np.isin(ground.code, (4, 5))
    second = _bell(stage, peak + shift + 90 + 60 * ground.parcel_uniform(world.key, world.year, 66), 0.6 * half)
    season = np.where(gardens, np.maximum(season, second), season)
    if world.rains is not None:
        season = np.where(gardens, season, _rainfed(world, ground, day, (peak, half)))
    fraction = low + (high - low) * season * vigour + level + within
    fraction = np.where(ground.code == 1, fraction * _harvest(world, ground, day), fraction)
    return np.where(ground.code == 13, 0, np.clip(fraction, 0, 1))


def _rainfed(world: World, ground: Ground, day: int, bell: tuple[Floats, Floats]) -> Floats:
    """Return the season, 0 to 1, of maize that is sown in the month after the onset of the rains, and of other vegetation.

    `bell` is the peak and the half width of maize in the crop calendar. Soils differ between parcels by the days for which their
    water lasts after the end of the rains.
    """
    now = water(world, day)
    sown = 30 * ground.parcel_uniform(world.key, world.year, 68) - 15
    dry = np.maximum(0, now.since_end - 20 - 8 * ground.parcel_normal(world.key, 69))
    maize = _bell(now.stage, bell[0] + sown, bell[1]) * np.exp(-dry / 12) * (0.6 + 0.4 * now.moisture)
    return np.where(np.isin(ground.code, (2, 3)), maize, now.moisture)


def _bell(day: Floats | float, peak: Floats, half: Floats) -> Floats:
    away = (day - peak + 182.625) % 365.25 - 182.625
    return np.asarray(np.exp(-0.5 * (away / (0.75 * half)) ** 2))


def _harvest(world: World, ground: Ground, day: int) -> Floats:
    """Return the cover factor of sugar cane, which is cut once between July and December and regrows in four months."""
    cut = 190 + 150 * ground.parcel_uniform(world.key, world.year, 67)
    since = (day - cut) % 365.25
    return np.clip(0.3 + 0.7 * since / 120, 0, 1)


def texture(world: World, ground: Ground) -> Floats:
    """Return the brightness pattern of each point, mean 1: forest crowns, plantation rows, orchard grids, roofs."""
    crowns = (smooth(ground.x, ground.y, 4.6, world.key + 71) - 0.5) * 1.55
    rows = np.cos(2 * np.pi * ground.u / (4.2 + 0.8 * ground.parcel_uniform(world.key, 72))) * 0.47
    step = 5.8 + 1.2 * ground.parcel_uniform(world.key, 73)
    grid = (np.cos(2 * np.pi * ground.u / step) * np.cos(2 * np.pi * ground.v / step)) * 0.66
    houses = np.where(_roof(world, ground), 0.60, -0.26)
    fine = (smooth(ground.x, ground.y, 3.1, world.key + 75) - 0.5) * 0.25
    pattern = np.select(
        [ground.code == c for c in (7, 8, 9, 10, 11)], [grid, rows, crowns, 1.2 * fine + 0.5 * crowns, houses], fine
    )
    return np.asarray(1 + pattern * np.where(ground.code == 13, 0.1, 1))


def _roof(world: World, ground: Ground) -> NDArray[np.bool_]:
    """Return True on roofs: a rectangle in most cells of a 17 m by 14 m lattice, 30 % of the ground in total."""
    i, j = np.floor(ground.u / 17), np.floor(ground.v / 14)
    inside = (ground.u / 17 - i < 0.62) & (ground.v / 14 - j < 0.58)
    return np.asarray(inside & (uniform(world.key, ground.parcel, i, j, 74) < 0.84))


def reflectance(world: World, ground: Ground, day: int, bands: tuple[str, ...], patterned: bool) -> NDArray[np.float64]:
    """Return the surface reflectance (bands, …) of each point on a day of the year, 0.001 to about 0.6.

    `patterned` adds the texture of the land cover.
    """
    chosen = [BANDS.index(band) for band in bands]
    leaf = np.clip(cover(world, ground, day), 0, 1)
    soil = np.exp(0.13 * ground.parcel_normal(world.key, 81)) * (
        0.9 + 0.2 * smooth(ground.x, ground.y, 45, world.key + 82)
    )
    tone = _of_class(ground, TONE, 1.0) * np.exp(0.05 * ground.parcel_normal(world.key, world.year, 83))
    if patterned:
        tone = tone * texture(world, ground)
    out = np.empty((len(bands), *ground.code.shape))
    for k, i in enumerate(chosen):
        earth = np.where(ground.code == 11, ROOF[i], SOIL[i] * soil)
        value = (leaf * LEAVES[i] + (1 - leaf) * earth) * tone
        out[k] = np.where(ground.code == 13, WATER[i] * (0.8 + 0.4 * ground.parcel_uniform(world.key, 84)), value)
    return np.clip(out, 0.001, 1)


def backscatter(world: World, ground: Ground, day: int) -> NDArray[np.float64]:
    """Return the backscatter σ0 (2, …) of each point on a day of the year: VV and VH, linear power, without speckle."""
    leaf = cover(world, ground, day)
    wet = 0.7 * normal(world.key, world.year, day, 91) * (1 - leaf)
    rough = 0.8 * ground.parcel_normal(world.key, 92)
    out = np.empty((2, *ground.code.shape))
    for k in range(2):
        bare = np.array([BACKSCATTER.get(c, (0.0,) * 4)[k] for c in range(14)])[ground.code]
        gain = np.array([BACKSCATTER.get(c, (0.0,) * 4)[2 + k] for c in range(14)])[ground.code]
        corner = np.where(ground.code == 11, 4 * (smooth(ground.x, ground.y, 15, world.key + 93) - 0.5), 0)
        out[k] = 10 ** ((bare + gain * leaf + wet + rough + corner) / 10)
    return out
