"""Cost and memory of ``bocage map`` with patchwork against the size of the scene, from 1 to 64 million map pixels.

    python -m benchmarks cost              # several GB in the folder BOCAGE_BENCH

The scene repeats a square of 1,024 pixels: it has the bytes of its size, not the variety. Sentinel-2 has 6 dates with clouds
and 4 bands, Sentinel-1 4 dates, as 16-bit GeoTIFFs without compression: fewer dates than a season, so that the largest scene
fits on the disk. Every map is made in a process of its own, by one model. CPU time and peak memory of that process; the slope
is that of the least squares through all sizes.
"""

import os
import resource
import shutil
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from benchmarks import otb
from benchmarks.frame import Results, command_line
from benchmarks.measuring import bocage, scratch
from benchmarks.otb import CORNER, CRS, FIELD, PIXEL
from benchmarks.recipes import Table, write
from bocage.layout import RunLayout

SIDE, CLASSES, TIMES = 1024, 8, (1, 2, 4, 8)
"""Side of the square that is repeated, in pixels; classes; repetitions along a side."""
BANDS, DATES, RADAR_DATES = ("blue", "red", "nir", "swir16"), 6, 4


def run() -> str:
    """Measure all sizes, and return the table and the slope."""
    with scratch() as folder:
        first = _written(folder / "1", 1)
        bocage("train", first, "--out", folder / "run")
        model = RunLayout(folder / "run").split(0).model.path
        _mapped(folder, TIMES[0], model)  # compiles the functions
        sizes = [_mapped(folder, times, model) for times in TIMES]
    pixels, spent = np.array([s["pixels"] for s in sizes]), np.array([s["cpu_seconds"] for s in sizes])
    slope, start = np.polyfit(pixels, spent, 1)
    Results("cost").save({"sizes": sizes, "microseconds_per_pixel": slope * 1e6, "start_seconds": start})
    lines = [
        f"{s['pixels'] / 1e6:5.1f} M pixels: {s['cpu_seconds']:6.1f} s, {s['cpu_seconds'] / s['pixels'] * 1e6:5.2f} µs per pixel, "
        f"{s['peak_mb']:.0f} MB"
        for s in sizes
    ]
    return "\n".join(["", *lines, f"slope {slope * 1e6:.2f} µs per pixel, start {start:.1f} s"])


def _mapped(folder: Path, times: int, model: Path) -> dict[str, float]:
    """Map a scene, and return its size, CPU time, wall time, peak memory and the bytes of its input."""
    recipe = _written(folder / str(times), times)
    size = sum(path.stat().st_size for path in recipe.parent.glob("*.tif"))
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    peak = bocage("map", recipe, "--model", model, "--out", folder / "map")
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - started
    shutil.rmtree(folder / "map")
    shutil.rmtree(recipe.parent)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = {
        "pixels": (SIDE * times) ** 2,
        "cpu_seconds": round(spent, 2),
        "seconds": round(wall, 1),
        "peak_mb": round(peak),
    }
    print(found, flush=True)
    return {**found, "input_mb": round(size / 1e6)}


def _written(folder: Path, times: int) -> Path:
    """Write a scene of `times` × `times` squares and its recipe, unless it exists; return the path of the recipe."""
    if folder.exists():
        return folder / "recipe.toml"
    folder.mkdir()
    g = np.random.default_rng(0)
    fields = g.integers(0, CLASSES, (SIDE // FIELD, SIDE // FIELD))
    truth = np.kron(fields, np.ones((FIELD, FIELD), int))
    optical, radar = g.normal(2500, 300, (CLASSES, len(BANDS), DATES)), g.normal(-1300, 200, (CLASSES, 2, RADAR_DATES))
    for b, band in enumerate(BANDS):
        layers = [_noisy(optical[truth, b, t], 200, g).astype(np.uint16) for t in range(DATES)]
        _write(folder / f"{band}.tif", layers, times)
    clouds = [np.kron(g.random((16, 16)) < 0.3, np.ones((64, 64), bool)) for _ in range(DATES)]
    _write(folder / "quality.tif", [np.where(cloud, 9, 4).astype(np.uint8) for cloud in clouds], times)
    for b, band in enumerate(("vv", "vh")):
        layers = [_noisy(radar[truth, b, t], 150, g).astype(np.int16) for t in range(RADAR_DATES)]
        _write(folder / f"{band}.tif", layers, times)
    otb.write_fields(folder, fields + 1, np.random.default_rng(1).random(fields.shape) < 0.1)
    return write(folder / "recipe.toml", recipe())


def _noisy(layer: np.ndarray, deviation: float, g: np.random.Generator) -> np.ndarray:
    return layer + deviation * g.standard_normal(layer.shape, np.float32)


def _write(path: Path, layers: list[np.ndarray], times: int) -> None:
    side, names = (
        SIDE * times,
        [(date(2022, 1, 1) + timedelta(days=360 * k // len(layers))).isoformat() for k in range(len(layers))],
    )
    about = {
        "width": side,
        "height": side,
        "count": len(layers),
        "dtype": layers[0].dtype.name,
        "interleave": "band",
        "crs": CRS,
    }
    about |= {"tiled": True, "blockxsize": 256, "blockysize": 256, "BIGTIFF": "IF_SAFER"}
    transform = rasterio.transform.from_origin(*CORNER, PIXEL, PIXEL)
    with rasterio.open(path, "w", driver="GTiff", transform=transform, **about) as dataset:
        for number, (layer, name) in enumerate(zip(layers, names, strict=True), start=1):
            dataset.write(np.tile(layer, (times, times)), number)
            dataset.set_band_description(number, name)


def recipe() -> Table:
    """Return the recipe of patchwork."""
    optical: dict[str, Any] = {"sensor": "series", "quality": "quality.tif", "clear": [4], "scale": 0.0001}
    return {
        "grid": {"like": "s2"},
        "sources": {
            "s2": optical | {"variables": {band: f"{band}.tif" for band in BANDS}},
            "s1": {"sensor": "series", "scale": 0.01, "variables": {"vv": "vv.tif", "vh": "vh.tif"}},
        },
        "legend": otb.legend(CLASSES),
        "reference": {"path": "fields.shp", "label": "code"},
        "split": {"draws": 1},
        "model": {"name": "patchwork"},
        "training": {"epochs": 4, "samples_per_epoch": 1000},
    }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    command_line(__name__)
