"""Settings → a folder of image files: a simulated agricultural landscape whose land cover is known everywhere."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from affine import Affine
from shapely import box

from bocage.errors import BocageError
from bocage.grid import Grid
from bocage.progress import QUIET, Progress
from bocage.ranges import Range, check_ranges
from bocage.simulate.climate import write_temperatures
from bocage.simulate.formats import FORMATS
from bocage.simulate.landscape import LEGEND, World
from bocage.simulate.polygons import write_polygons, write_regions
from bocage.simulate.rain import write_weather
from bocage.simulate.sensors import PAN_GSD, S2_GSD, Dates, write_s1, write_s2, write_truth, write_vhr
from bocage.textfile import write_csv

CRS = "EPSG:32740"
CORNER = (338_000.0, 7_668_000.0)
"""North-west corner, UTM 40S: the coast of La Réunion."""
SENSORS = ("vhr", "s2", "s1")


@dataclass(frozen=True)
class Simulation:
    """Settings of a simulation. The defaults are fixed and must not be tuned in favour of a network."""

    height: Annotated[int, Range(64, 1_000_000)] = 1203
    """Height in PAN pixels (1.5 m), at least 64. It need not be a multiple of 4."""
    width: Annotated[int, Range(64, 1_000_000)] = 1402
    """Width in PAN pixels, at least 64."""
    seed: Annotated[int, Range(0, 1_000_000)] = 0
    """Seed of the landscape."""
    year: Annotated[int, Range(1950, 2100)] = 2022
    """Year of the acquisitions. Another year shifts the crop calendar and rotates the crops."""
    region: Annotated[int, Range(0, 999)] = 0
    """Number of the region. Another region has other parcels and other class proportions."""
    delay: Annotated[int, Range(-180, 180)] = 0
    """Delay of the season in the eastern half, in days: two regions, written to ``regions.gpkg``. 0: one season."""
    warmth: Annotated[float | None, Range(-10, 10)] = None
    """Temperature of the year minus the normal temperature, °C. Given, crops follow growing degree days instead of days of the
    year, and the daily temperatures are written to ``temperature.csv``."""
    rains: Annotated[int | None, Range(-60, 60)] = None
    """Days by which the rainy season begins later than normal. Given, maize is rain-fed, other vegetation except gardens follows
    the rain, and the daily weather is written to ``weather.csv``."""
    wetness: Annotated[float, Range(0.1, 5)] = 1.0
    """Rain of wet days divided by the normal rain, in a simulation with `rains`."""
    polygons: Annotated[int, Range(1, 1_000_000)] = 24
    """Maximum number of reference polygons per class."""
    sensors: tuple[str, ...] = SENSORS
    """Sensors to simulate: ``vhr``, ``s2``, ``s1``."""
    formats: tuple[str, ...] = ()
    """Product formats, at most one per sensor (``bocage simulate --help`` lists them). Other sensors are plain rasters."""

    @property
    def deliveries(self) -> dict[str, str]:
        """Sensor to product format."""
        return {FORMATS[name].SENSOR: name for name in self.formats}

    def __post_init__(self) -> None:
        try:
            check_ranges(self)
        except ValueError as error:
            raise BocageError(f"Landscape: {error}.") from error
        if self.rains is None and self.wetness != 1:
            raise BocageError(
                "Landscape: 'wetness' needs 'rains', the days by which the rainy season begins later; 0 is normal."
            )
        if self.rains is not None and self.delay:
            raise BocageError("Landscape: with 'rains', the whole landscape has one weather; remove 'delay'.")
        unknown = [s for s in self.sensors if s not in SENSORS]
        if unknown:
            raise BocageError(f"Unknown sensor '{unknown[0]}' to simulate. Known sensors: {', '.join(SENSORS)}.")
        invalid = [f for f in self.formats if f not in FORMATS]
        if invalid:
            raise BocageError(f"Unknown format '{invalid[0]}' to simulate. Known formats: {', '.join(FORMATS)}.")
        if len(self.deliveries) < len(self.formats):
            raise BocageError(f"Give at most one format per sensor; found {', '.join(self.formats)}.")
        idle = [f for sensor, f in self.deliveries.items() if sensor not in self.sensors]
        if idle:
            raise BocageError(
                f"The format {idle[0]} needs the sensor {FORMATS[idle[0]].SENSOR}, which is not simulated. Add it to the sensors."
            )


def simulate(settings: Simulation, folder: Path, progress: Progress = QUIET) -> int:
    """Write a simulated landscape to `folder` and return its number of reference polygons.

    The folder contains ``reference.gpkg``, ``legend.csv`` and ``truth.tif``, with a delay ``regions.gpkg``, with a warmth
    ``temperature.csv``, and with rains ``weather.csv``. Without formats, it also contains ``vhr/{pan,ms}.tif``,
    ``s2/<band>.tif``, ``s2/quality.tif`` and ``s1/{vv,vh}.tif``. All values are a function of location and seed: without a delay,
    a larger landscape of the same seed contains the smaller one.

    Raises
    ------
    BocageError
        The folder is not empty, or the landscape is too small for a reference polygon.
    """
    if folder.exists() and any(folder.iterdir()):
        raise BocageError(f"{folder} is not empty. Give a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    border = CORNER[0] + settings.width * PAN_GSD / 2
    climate = (settings.warmth, settings.rains, settings.wetness)
    world = World(settings.seed, settings.year, settings.region, settings.delay, border, *climate)
    pan = Grid.of(CRS, Affine(PAN_GSD, 0, CORNER[0], 0, -PAN_GSD, CORNER[1]), (settings.height, settings.width))
    sides = (2 * -(-round(n * PAN_GSD * 1000) // round(2000 * S2_GSD)) for n in pan.shape)
    decametric = Grid.of(CRS, Affine(S2_GSD, 0, CORNER[0], 0, -S2_GSD, CORNER[1]), (next(sides), next(sides)))
    if "vhr" in settings.sensors:
        write_vhr(world, pan, folder, progress)
    else:
        write_truth(world, pan, folder, progress)
    if "s2" in settings.sensors:
        write_s2(world, decametric, folder, Dates(10).of(settings.year), progress)
    if "s1" in settings.sensors:
        write_s1(world, decametric, folder, Dates(12, 5).of(settings.year), progress)
    for sensor, name in settings.deliveries.items():
        deliver(folder / sensor, name, progress)
    _write_legend(folder / "legend.csv")
    if settings.warmth is not None:
        write_temperatures(world, folder / "temperature.csv")
    if settings.rains is not None:
        write_weather(world, folder / "weather.csv")
    if settings.delay:
        west, south, east, north = pan.bounds
        outer = 4 * S2_GSD  # the 10 m grid is up to two pixels larger than the PAN grid
        boxes = [
            box(west - outer, south - outer, border, north + outer),
            box(border, south - outer, east + outer, north + outer),
        ]
        write_regions(folder / "regions.gpkg", dict(zip(("west", "east"), boxes, strict=True)), CRS)
    return write_polygons(world, pan, folder / "reference.gpkg", settings.polygons)


def deliver(folder: Path, name: str, progress: Progress) -> None:
    """Replace the plain rasters of a sensor in `folder` by products in the format `name`."""
    plain, partial = folder.with_name(f".{folder.name}.plain"), folder.with_name(f".{folder.name}.part")
    folder.rename(plain)
    FORMATS[name].write(plain, partial, progress)
    partial.rename(folder)
    shutil.rmtree(plain)


def _write_legend(path: Path) -> None:
    rows = [[c.code, c.name, c.color, c.parent] for c in LEGEND.classes]
    write_csv(path, [["code", "name", "color", "parent"], *rows])
