"""Simulated images: blur, sampling, noise and clouds applied to the landscape, written window by window."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as RioWindow
from scipy.ndimage import gaussian_filter

from bocage.disk import move, part_of
from bocage.grid import Grid, Ratio, Window
from bocage.progress import Progress
from bocage.simulate.landscape import LEGEND, Ground, World, ground_at
from bocage.simulate.noise import Floats, fractal, normal, uniform
from bocage.simulate.signatures import PAN_WEIGHTS, backscatter, reflectance

PAN_GSD, MS_RATIO, S2_GSD = 1.5, 4, 10.0
VHR_DAY = 98
"""Day of the year of the VHR scene. On this day, early and late maize have the same reflectance."""
S2_10M = ("blue", "green", "red", "nir")
S2_20M = ("rededge1", "rededge2", "rededge3", "nir08", "swir16", "swir22")
CLEAR, SHADOW, CLOUD = 4, 3, 9
"""Values of the quality layer, as in the scene classification of Sen2Cor."""
LOOKS = 4.4
"""Equivalent number of looks of the radar images (Sentinel-1 IW GRD)."""


@dataclass(frozen=True)
class Dates:
    """Acquisition dates of a year."""

    every: int
    """Step in days."""
    first: int = 3
    """Day of the year of the first date."""

    def of(self, year: int) -> list[date]:
        """Return the dates of a year, in order."""
        return [date(year, 1, 1) + timedelta(d - 1) for d in range(self.first, 366, self.every)]


def points(grid: Grid, window: Window, fine: int, halo: int) -> tuple[Floats, Floats]:
    """Return the coordinates x and y of `fine` x `fine` points per pixel of a window, with a halo of `halo` points."""
    step = grid.resolution / fine
    columns = np.arange(window.x * fine - halo, (window.x + window.width) * fine + halo)
    rows = np.arange(window.y * fine - halo, (window.y + window.height) * fine + halo)
    x, y = np.meshgrid(grid.transform.c + (columns + 0.5) * step, grid.transform.f - (rows + 0.5) * step)
    return x, y


def _sampled(values: NDArray[Any], fine: int, halo: int, blur: float) -> NDArray[Any]:
    """Return pixels (…, y, x): blur points with the point spread function, remove the halo, and average the points of a pixel."""
    spread = (0,) * (values.ndim - 2) + (blur, blur)
    values = gaussian_filter(values, spread, truncate=3)[
        ..., halo : values.shape[-2] - halo, halo : values.shape[-1] - halo
    ]
    *lead, height, width = values.shape
    pooled: NDArray[Any] = values.reshape(*lead, height // fine, fine, width // fine, fine).mean((-3, -1))
    return pooled


@contextmanager
def _rasters(paths: dict[str, tuple[Path, Grid, int, str, float, list[str]]]) -> Iterator[dict[str, Any]]:
    """Yield tiled GeoTIFF files open for writing. They get their final names when the block ends without error."""
    with ExitStack() as stack:
        opened = {}
        for key, (path, grid, count, dtype, nodata, descriptions) in paths.items():
            height, width = grid.shape
            opened[key] = stack.enter_context(
                rasterio.open(
                    part_of(path),
                    "w",
                    driver="GTiff",
                    height=height,
                    width=width,
                    count=count,
                    dtype=dtype,
                    nodata=nodata,
                    crs=grid.crs.to_wkt(),
                    transform=grid.transform,
                    tiled=True,
                    blockxsize=256,
                    blockysize=256,
                    compress="deflate",
                    interleave="band",
                    BIGTIFF="IF_SAFER",
                )
            )
            opened[key].descriptions = descriptions
        yield opened
    for path, *_ in paths.values():
        move(part_of(path), path)


def _noise(world: World, window: Window, salt: int) -> Floats:
    """Return a normal deviate for each pixel of a window of a grid."""
    rows = np.arange(window.y, window.y + window.height)[:, None]
    columns = np.arange(window.x, window.x + window.width)[None, :]
    return normal(world.key, world.year, salt, rows, columns)


def _digital(values: NDArray[Any]) -> NDArray[np.uint16]:
    return np.asarray(np.clip(np.rint(values * 10000), 1, 65535), np.uint16)


def write_vhr(world: World, pan: Grid, folder: Path, progress: Progress) -> None:
    """Write ``vhr/pan.tif``, ``vhr/ms.tif`` (ratio 4, sizes rounded up) and ``truth.tif``."""
    (folder / "vhr").mkdir(exist_ok=True)
    ms = Ratio(coarser=MS_RATIO).grid(pan)
    bands = ["blue", "green", "red", "nir"]
    files = {
        "pan": (folder / "vhr" / "pan.tif", pan, 1, "uint16", 0.0, ["pan"]),
        "ms": (folder / "vhr" / "ms.tif", ms, 4, "uint16", 0.0, bands),
        "truth": (folder / "truth.tif", pan, 1, "uint8", 0.0, ["class"]),
    }
    halo, tiles = 16, list(ms.tiles(256))
    with _rasters(files) as out:
        out["truth"].write_colormap(1, _colors())
        for done, tile in enumerate(tiles, start=1):
            whole = Window(tile.y * MS_RATIO, tile.x * MS_RATIO, tile.height * MS_RATIO, tile.width * MS_RATIO)
            ground = ground_at(world, *points(pan, whole, 1, halo))
            looks = reflectance(world, ground, VHR_DAY, tuple(bands), patterned=True)
            ms_values = _sampled(looks, MS_RATIO, halo, 2.0)
            noise = np.stack([_noise(world, tile, 200 + b) for b in range(4)])
            out["ms"].write(_digital(ms_values * (1 + 0.012 * noise) + 0.002 * noise), window=_rio(tile))
            part = whole.clip(pan.shape)
            weights = np.array([PAN_WEIGHTS.get(b, 0.0) for b in bands])
            pan_values = _sampled(np.tensordot(weights, looks, 1), 1, halo, 0.55)[: part.height, : part.width]
            grain = _noise(world, part, 210)
            out["pan"].write(_digital(pan_values * (1 + 0.02 * grain) + 0.002 * grain)[None], window=_rio(part))
            truth = ground.code[halo : halo + part.height, halo : halo + part.width]
            out["truth"].write(truth[None], window=_rio(part))
            progress.step("simulating the VHR scene", done, len(tiles))


def write_truth(world: World, pan: Grid, folder: Path, progress: Progress) -> None:
    """Write only ``truth.tif``, for a landscape without a VHR scene."""
    tiles = list(pan.tiles(512))
    with _rasters({"truth": (folder / "truth.tif", pan, 1, "uint8", 0.0, ["class"])}) as out:
        out["truth"].write_colormap(1, _colors())
        for done, tile in enumerate(tiles, start=1):
            out["truth"].write(ground_at(world, *points(pan, tile, 1, 0)).code[None], window=_rio(tile))
            progress.step("writing the truth", done, len(tiles))


def _colors() -> dict[int, tuple[int, int, int, int]]:
    return {0: (0, 0, 0, 0)} | {c: (*LEGEND.rgb(i), 255) for i, c in enumerate(LEGEND.codes)}


def _rio(window: Window) -> RioWindow:
    return RioWindow(window.x, window.y, window.width, window.height)


def write_s2(world: World, grid: Grid, folder: Path, dates: list[date], progress: Progress) -> None:
    """Write ``s2/<band>.tif`` (10 and 20 m, a band per date) and ``s2/quality.tif`` (20 m).

    `grid` has 10 m pixels and even sizes.
    """
    (folder / "s2").mkdir(exist_ok=True)
    coarse = Ratio(coarser=2).grid(grid)
    names = [d.isoformat() for d in dates]
    grids = dict.fromkeys(S2_10M, grid) | dict.fromkeys(S2_20M, coarse)
    files = {b: (folder / "s2" / f"{b}.tif", g, len(dates), "uint16", 0.0, names) for b, g in grids.items()}
    files["quality"] = (folder / "s2" / "quality.tif", coarse, len(dates), "uint8", 0.0, names)
    tiles, halo = list(coarse.tiles(64)), 12
    with _rasters(files) as out:
        for done, tile in enumerate(tiles, start=1):
            fine = Window(tile.y * 2, tile.x * 2, tile.height * 2, tile.width * 2)
            ground = ground_at(world, *points(grid, fine, 4, halo))
            for k, day in enumerate(dates, start=1):
                image, quality = _s2_date(world, grid, fine, ground, halo, day)
                for b, band in enumerate((*S2_10M, *S2_20M)):
                    layer = image[b] if band in S2_10M else _sampled(image[b], 2, 0, 0)
                    out[band].write(_digital(layer), k, window=_rio(fine if band in S2_10M else tile))
                out["quality"].write(quality, k, window=_rio(tile))
            progress.step("simulating the Sentinel-2 series", done, len(tiles))


def _s2_date(
    world: World, grid: Grid, window: Window, ground: Ground, halo: int, day: date
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return one date: ten bands at 10 m, and the quality layer at 20 m, which misses thin cloud edges, as real masks do."""
    doy = day.timetuple().tm_yday
    bands = (*S2_10M, *S2_20M)
    image = _sampled(reflectance(world, ground, doy, bands, patterned=False), 4, halo, 1.6)
    x, y = points(grid, window, 1, 0)
    haze = 0.012 * fractal(x, y, 3000, world.key + 7 * doy + 3) * uniform(world.key, world.year, doy, 101)
    thick, thin = _cloud(world, x, y, doy)
    shade, _ = _cloud(world, x - 220, y + 160, doy)
    fade = np.array([1.0, 0.8, 0.6, 0.3, *[0.4] * 4, 0.2, 0.15])[:, None, None]
    image = image * (1 - 0.45 * shade) + haze * fade
    image = image * (1 - thin) + thin * np.where(np.arange(len(bands)) < 8, 0.55, 0.35)[:, None, None]
    noise = np.stack([_noise(world, window, 1000 + 20 * doy + b) for b in range(len(bands))])
    image = image * (1 + 0.015 * noise) + 0.003 * noise
    cloudy, shaded = _sampled(thick, 2, 0, 0) > 0.35, _sampled(shade, 2, 0, 0) > 0.35
    quality = np.where(cloudy, CLOUD, np.where(shaded, SHADOW, CLEAR)).astype(np.uint8)
    return image, quality


def _cloud(world: World, x: Floats, y: Floats, doy: int) -> tuple[Floats, Floats]:
    """Return the clouds of a date: the detectable cloud (0 to 1), and the opacity (0 to 1), whose edges extend further."""
    amount = uniform(world.key, world.year, doy, 111) ** 1.5
    field = fractal(x, y, 1100, world.key * 3 + 977 * doy + world.year, 4)
    level = 0.78 - 0.55 * amount
    return np.clip((field - level) / 0.02, 0, 1), np.clip((field - level + 0.012) / 0.03, 0, 1)


def write_s1(world: World, grid: Grid, folder: Path, dates: list[date], progress: Progress) -> None:
    """Write ``s1/vv.tif`` and ``s1/vh.tif``: σ0 in dB (float32), 10 m pixels, a band per date, speckled."""
    (folder / "s1").mkdir(exist_ok=True)
    names = [d.isoformat() for d in dates]
    nodata = float("nan")
    files = {p: (folder / "s1" / f"{p}.tif", grid, len(dates), "float32", nodata, names) for p in ("vv", "vh")}
    tiles, halo = list(grid.tiles(128)), 12
    with _rasters(files) as out:
        for done, tile in enumerate(tiles, start=1):
            ground = ground_at(world, *points(grid, tile, 4, halo))
            for k, day in enumerate(dates, start=1):
                doy = day.timetuple().tm_yday
                power = _sampled(backscatter(world, ground, doy), 4, halo, 2.4)
                for p, name in enumerate(("vv", "vh")):
                    speckle = _speckle(world, tile, 3000 + 2 * doy + p)
                    out[name].write((10 * np.log10(power[p] * speckle)).astype(np.float32), k, window=_rio(tile))
            progress.step("simulating the Sentinel-1 series", done, len(tiles))


def _speckle(world: World, window: Window, salt: int) -> Floats:
    """Return gamma-distributed speckle of mean 1 and `LOOKS` looks, by the Wilson–Hilferty transform of a normal deviate."""
    z = _noise(world, window, salt)
    return np.asarray(np.maximum((1 - 1 / (9 * LOOKS) + z / (3 * np.sqrt(LOOKS))) ** 3, 0.01))
