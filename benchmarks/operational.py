"""Patchwork from input files to COGs on all cores, compared with Orfeo ToolBox's random forest on the Sentinel-2 series alone.

The scene has Sentinel-2 (34 dates with clouds, 10 bands), Sentinel-1 (24 dates) and a panchromatic band with 6 x 6 pixels per
10 m pixel, in 16-bit GeoTIFFs. The noise of a pixel is four times the distance between classes, so that the trees are deep, as
on real fields. Orfeo ToolBox needs complete series: it gets the 340 bands without clouds. It comes from the Debian package
``otb-bin``. bfloat16 is measured if the processor has instructions for it. Results: one file per instruction set.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
import shapely

from benchmarks import otb
from benchmarks.memory import bocage
from benchmarks.record import interleaved, machine, save
from bocage.training import imitates_bfloat16

SIDE, TALLER, FIELD, CLASSES, RATIO, ROUNDS = 1024, 3, 16, 10, 6, 2
"""Side of the scene in pixels, height of the larger scene relative to the first, side of a field in pixels, classes, VHR
pixels per map pixel along a side, rounds."""
S2 = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")
S2_DATES, S1_DATES = 34, 24
CORNER, PIXEL, YEAR = (500_000, 5_600_000), 10.0, 2022


def run() -> str:
    with tempfile.TemporaryDirectory(dir=os.environ.get("BOCAGE_BENCH")) as name:
        folder = Path(name)
        recipe = _written(folder / "scene", 1)
        bocage("train", recipe, "--out", folder / "run")
        bocage("map", recipe, "--out", folder / "run")  # compares bfloat16 with float32, first time only
        works = {p: _ours(folder, recipe, p) for p in _precisions()}
        if otb.is_here():
            works["otb"] = _theirs(folder / "scene")
        spent = interleaved(works, ROUNDS)
        peaks, larger = _larger(folder, recipe)
    speed = {who: SIDE**2 / seconds for who, seconds in spent.items()}
    found = {
        "side": SIDE,
        "seconds": spent,
        "pixels_per_second": speed,
        "larger_pixels_per_second": larger,
        "peak_mb": peaks,
    }
    save(f"operational-{machine()['instructions'].lower()}", found)
    told = (
        f"Orfeo ToolBox's forest on 340 bands {speed['otb']:,.0f}"
        if "otb" in speed
        else "Orfeo ToolBox is not here (apt install otb-bin)"
    )
    return (
        f"{S2_DATES} + {S1_DATES} dates and VHR, files to COGs, map pixels/s: patchwork "
        f"{', '.join(f'{speed[p]:,.0f} in {p}' for p in speed if p != 'otb')}; {told}. "
        f"{TALLER} times the area: {larger:,.0f}. Peak memory {peaks[0]:.0f} MB, and {peaks[1]:.0f} MB"
    )


def _precisions() -> tuple[str, ...]:
    """Return the precisions to measure: bfloat16 only if the processor does not emulate it."""
    return ("float32",) if imitates_bfloat16("cpu") else ("bfloat16", "float32")


def _written(folder: Path, times: int) -> Path:
    """Write a scene whose height is `times` its width, and its recipe; return the recipe's path."""
    folder.mkdir(parents=True)
    g, height = np.random.default_rng(0), SIDE * times
    fields = g.integers(0, CLASSES, (height // FIELD, SIDE // FIELD))
    truth = np.kron(fields, np.ones((FIELD, FIELD), int))
    optical = g.normal(0.25, 0.01, (CLASSES, len(S2), S2_DATES))
    days = [_days(S2_DATES), _days(S1_DATES)]
    for b, band in enumerate(S2):
        layers = (_noisy(10_000 * optical[truth, b, t], 400, g).astype(np.uint16) for t in range(S2_DATES))
        _write(folder / f"{band}.tif", layers, (height, SIDE), PIXEL, "uint16", days[0])
    clouds = (np.where(_blobs(height, g), 9, 4).astype(np.uint8) for _ in range(S2_DATES))
    _write(folder / "quality.tif", clouds, (height, SIDE), PIXEL, "uint8", days[0])
    for band in ("vv", "vh"):
        radar = g.normal(-13, 2, (CLASSES, S1_DATES))
        layers = (_noisy(100 * radar[truth, t], 250, g).astype(np.int16) for t in range(S1_DATES))
        _write(folder / f"{band}.tif", layers, (height, SIDE), PIXEL, "int16", days[1])
    sharp = np.kron(g.normal(1500, 200, CLASSES)[truth], np.ones((RATIO, RATIO)))
    pan = _noisy(sharp, 120, g).astype(np.uint16)
    _write(folder / "pan.tif", iter([pan]), pan.shape, PIXEL / RATIO, "uint16", [""])
    _polygons(folder, fields)
    (folder / "recipe.toml").write_text(_recipe(_precisions()[0]))
    return folder / "recipe.toml"


def _days(dates: int) -> list[str]:
    return [(date(YEAR, 1, 1) + timedelta(days=365 * k // dates)).isoformat() for k in range(dates)]


def _noisy(layer: np.ndarray, deviation: float, g: np.random.Generator) -> np.ndarray:
    return layer + deviation * g.standard_normal(layer.shape, np.float32)


def _blobs(height: int, g: np.random.Generator) -> np.ndarray:
    """Return a cloud mask: squares of 64 pixels that cover 30 % of the scene."""
    return np.kron(g.random((height // 64, SIDE // 64)) < 0.3, np.ones((64, 64), bool))


def _write(path: Path, layers: Any, shape: tuple[int, int], pixel: float, dtype: str, names: list[str]) -> None:
    transform = rasterio.transform.from_origin(*CORNER, pixel, pixel)
    options = {"width": shape[1], "height": shape[0], "count": len(names), "dtype": dtype, "interleave": "band"}
    options |= {"crs": "EPSG:32631", "transform": transform, "tiled": True, "blockxsize": 256, "blockysize": 256}
    with rasterio.open(path, "w", driver="GTiff", **options) as dataset:
        for number, (layer, name) in enumerate(zip(layers, names, strict=True), start=1):
            dataset.write(layer, number)
            dataset.set_band_description(number, name)


def _polygons(folder: Path, fields: np.ndarray) -> None:
    """Write the polygons: 10 % of the fields, without a border of two pixels."""
    g = np.random.default_rng(1)
    rows, columns = np.nonzero(g.random(fields.shape) < 0.1)
    x, y, step = *CORNER, PIXEL * FIELD
    edge = 2 * PIXEL
    boxes = [
        shapely.box(x + step * c + edge, y - step * (r + 1) + edge, x + step * (c + 1) - edge, y - step * r - edge)
        for r, c in zip(rows, columns, strict=True)
    ]
    codes = fields[rows, columns] + 1
    geopandas.GeoDataFrame({"code": codes}, geometry=boxes, crs="EPSG:32631").to_file(folder / "fields.shp")


def _recipe(precision: str) -> str:
    bands = ", ".join(f'{band} = "{band}.tif"' for band in S2)
    legend = ", ".join(f'{{ code = {i + 1}, name = "class {i + 1}" }}' for i in range(CLASSES))
    return (
        '[grid]\nlike = "s2"\n'
        f'[sources.s2]\nsensor = "series"\nquality = "quality.tif"\nclear = [4]\nscale = 0.0001\nvariables = {{ {bands} }}\n'
        '[sources.s1]\nsensor = "series"\nscale = 0.01\nvariables = { vv = "vv.tif", vh = "vh.tif" }\n'
        '[sources.vhr]\nsensor = "image"\npath = "pan.tif"\nbands = ["pan"]\nscale = 0.0001\n'
        f'[legend]\nclasses = [{legend}]\n[reference]\npath = "fields.shp"\nlabel = "code"\n[split]\ndraws = 1\n'
        '[model]\nname = "patchwork"\n[training]\nepochs = 4\nsamples_per_epoch = 1000\n'
        f'[map]\nprecision = "{precision}"\n'
    )


def _ours(folder: Path, recipe: Path, precision: str) -> Callable[[], Any]:
    own = recipe.with_name(f"{precision}.toml")
    own.write_text(_recipe(precision))
    model, out = folder / "run/splits/0/model", folder / f"map-{precision}"
    command = [sys.executable, "-m", "bocage", "map", own, "--model", model, "--out", out]

    def work() -> None:
        shutil.rmtree(out, ignore_errors=True)
        subprocess.run(command, check=True, capture_output=True)

    return work


def _theirs(folder: Path) -> Callable[[], Any]:
    """Stack the series into one raster and train; return the mapping function."""
    stack = folder / "stack.tif"
    layers = (_read(folder / f"{band}.tif", t) for t in range(1, S2_DATES + 1) for band in S2)
    shape, names = (SIDE, SIDE), [f"{t} {band}" for t in range(S2_DATES) for band in S2]
    _write(stack, layers, shape, PIXEL, "uint16", names)
    return otb.forest(folder, stack.name, most=2000)


def _read(path: Path, band: int) -> np.ndarray:
    with rasterio.open(path) as dataset:
        layer: np.ndarray = dataset.read(band)
    return layer


def _larger(folder: Path, recipe: Path) -> tuple[list[float], float]:
    """Return the peak memory of the map and of a larger map in MB, and the larger map's median speed in pixels per second."""
    model, tall = folder / "run/splits/0/model", folder / "larger"
    peaks = [bocage("map", recipe, "--model", model, "--out", folder / "map-again")]
    larger, seconds = _written(tall, TALLER), []
    for number in range(ROUNDS):
        started = time.perf_counter()
        peaks.append(bocage("map", larger, "--model", model, "--out", tall / f"out{number}"))
        seconds.append(time.perf_counter() - started)
    shutil.rmtree(tall)
    return [peaks[0], max(peaks[1:])], TALLER * SIDE**2 / statistics.median(seconds)


if __name__ == "__main__":
    print(run())
