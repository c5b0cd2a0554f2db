"""What surrounds a map on a sheet: scale bar, and locator on the coastlines of the region.

Coastlines are those of Natural Earth 1:110m (public domain), simplified to a third of a degree.
"""

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib import resources

from bocage.grid import Grid, outline_in_degrees
from bocage.words import number

SHARE = 0.25
"""Greatest part of the width of the map that the scale bar takes."""
AROUND = 18.0
"""Degrees of latitude that the locator shows above and below the centre of the map."""
SMALLEST = 1.2
"""Side of the mark of a map in the locator, in degrees, if the map is smaller."""
SHORT, LONG = 100, 150
"""Height and width of the locator, in pixels."""


@dataclass(frozen=True)
class ScaleBar:
    """A bar below the map."""

    percent: float
    """Length in percent of the width of the map."""
    label: str
    """Length on the ground, with its unit."""


def scale_bar(grid: Grid, language: str) -> ScaleBar:
    """Return a bar of 1, 2 or 5 times a power of ten metres; its scale is that in the middle of the map."""
    width = grid.metres[1] * grid.shape[1]
    power = 10.0 ** math.floor(math.log10(width * SHARE))
    length = max(n * power for n in (1, 2, 5) if n * power <= width * SHARE)
    shown = number(length / 1000, language, 0) + " km" if length >= 1000 else _metres(length, language)
    return ScaleBar(100 * length / width, shown)


def _metres(length: float, language: str) -> str:
    return number(length, language, 0 if length >= 1 else max(0, -math.floor(math.log10(length)))) + " m"


@dataclass(frozen=True)
class Locator:
    """A small map of the surroundings as SVG paths, in pixels of a drawing of `LONG` by `SHORT`."""

    land: str
    """Path of the land."""
    x: float
    y: float
    width: float
    height: float
    """Rectangle of the map."""
    place: str
    """Coordinates of the centre of the map."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the drawing."""
        return LONG, SHORT


def locator(grid: Grid, language: str) -> Locator:
    """Return where a map is; equirectangular, true to scale at the centre of the map."""
    west, south, east, north = outline_in_degrees(grid.crs.proj, grid.bounds).bounds
    lon, lat = ((west + east) / 2 + 180) % 360 - 180, (south + north) / 2
    scale = SHORT / (2 * AROUND)
    wide = scale * max(0.2, math.cos(math.radians(lat)))

    def at(x: float, y: float) -> tuple[float, float]:
        return LONG / 2 + (x - lon) * wide, SHORT / 2 - (y - lat) * scale

    width, height = max(SMALLEST * wide, (east - west) * wide), max(SMALLEST * scale, (north - south) * scale)
    path = []
    for turn in (-360, 0, 360):  # land beyond the 180th meridian
        for ring in _coastlines():
            points = [at(x + turn, y) for x, y in ring]
            if min(x for x, _ in points) < LONG and max(x for x, _ in points) > 0:
                path.append("M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points) + "Z")
    return Locator(
        " ".join(path), LONG / 2 - width / 2, SHORT / 2 - height / 2, width, height, _coordinates(lat, lon, language)
    )


@cache
def _coastlines() -> list[list[tuple[float, float]]]:
    text = resources.files("bocage.report").joinpath("land.json").read_text(encoding="utf-8")
    return [[(x, y) for x, y in ring] for ring in json.loads(text)]


def _coordinates(lat: float, lon: float, language: str) -> str:
    west = "O" if language == "fr" else "W"
    return (
        f"{number(abs(lat), language, 2)}° {'N' if lat >= 0 else 'S'}, "
        f"{number(abs(lon), language, 2)}° {'E' if lon >= 0 else west}"
    )
