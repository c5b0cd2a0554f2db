"""Patchwork from input files to COGs on all cores, compared with forests on the same scene.

    python -m benchmarks operational             # all models
    python -m benchmarks.operational patchwork   # one of them

The forests are those of scikit-learn and LightGBM in Bocage (all sources; masked values interpolated in time or left to the
trees) and that of Orfeo ToolBox on the Sentinel-2 series alone.

The scene has Sentinel-2 (34 dates with clouds, 10 bands), Sentinel-1 (24 dates) and a panchromatic band with 6 x 6 pixels per
10 m pixel, in 16-bit GeoTIFFs. The noise of a pixel is four times the distance between classes, so that the trees are deep, as
on real fields. Orfeo ToolBox needs complete series: it gets the 340 bands without clouds. It comes from the Debian package
``otb-bin``. bfloat16 is measured if the processor has instructions for it. Results: one file per
instruction set, and per models if some are named.
"""

import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from benchmarks import otb
from benchmarks.frame import Results, command_line, machine
from benchmarks.measuring import bocage, interleaved, scratch, seconds
from benchmarks.otb import CORNER, CRS, FIELD, PIXEL
from benchmarks.recipes import Table, write
from bocage.layout import RunLayout
from bocage.training import imitates_bfloat16

SIDE, TALLER, CLASSES, RATIO, ROUNDS = 1024, 8, 10, 6, 2
"""Side of the scene in pixels, height of the larger scene relative to the first, classes, VHR pixels per map pixel along a
side, rounds."""
S2 = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")
S2_DATES, S1_DATES = 34, 24
YEAR = 2022
FORESTS = {
    "random_forest": {"name": "random_forest", "trees": 100, "max_depth": 25, "gaps": "linear"},
    "lightgbm": {"name": "lightgbm"},
}
"""Other models of Bocage on the same scene; 100 trees of depth 25, as in Orfeo ToolBox."""


WORDS = ("patchwork", *FORESTS, "otb")
"""Words of the command line: the models to measure."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure speed and memory of the models `wanted`, by default of all, and return them in words."""
    results = Results("-".join(("operational", machine()["instructions"].lower(), *wanted)))
    wanted = [name for name in wanted or WORDS if name != "otb" or otb.is_installed()]
    with scratch() as folder:
        spent = interleaved(_works(folder, wanted), ROUNDS)
        speed = {name: SIDE**2 / duration for name, duration in spent.items()}
        found: dict[str, Any] = {"side": SIDE, "seconds": spent, "pixels_per_second": speed}
        results.save(found)
        if "patchwork" in wanted:
            peaks, larger = _larger(folder)
            further = (TALLER - 1) * SIDE**2 / (TALLER * SIDE**2 / larger - spent["float32"])
            found |= {"larger": TALLER, "larger_pixels_per_second": larger, "further_pixels_per_second": further}
            results.save(found | {"peak_mb": peaks})
    return _in_words(found)


def _works(folder: Path, wanted: Sequence[str]) -> dict[str, Callable[[], Any]]:
    """Write the scene and train the models; return the mapping function of each, and of each precision of patchwork."""
    path, works = written(folder / "scene", 1), dict[str, Callable[[], Any]]()
    if "patchwork" in wanted:
        bocage("train", path, "--out", folder / "run")
        bocage("map", path, "--out", folder / "run")  # compares bfloat16 with float32, first time only
        works |= {precision: _ours(folder, path, precision) for precision in _precisions()}
    works |= {name: _forest(folder, path, name) for name in FORESTS if name in wanted}
    return works | ({"otb": _theirs(folder / "scene")} if "otb" in wanted else {})


def _in_words(found: Mapping[str, Any]) -> str:
    speeds = ", ".join(f"{name} {value:,.0f}" for name, value in found["pixels_per_second"].items())
    text = f"{S2_DATES} + {S1_DATES} dates and VHR, files to COGs, map pixels/s (otb: 340 bands only): {speeds}. "
    if "larger" in found:
        text += (
            f"patchwork, {found['larger']} times the area, float32: {found['larger_pixels_per_second']:,.0f}; without the part "
            f"that does not depend on the area: {found['further_pixels_per_second']:,.0f}. "
        )
    return text


def _precisions() -> tuple[str, ...]:
    """Return the precisions to measure: bfloat16 only if the processor does not emulate it."""
    limited = machine()["instructions"] == "AVX2"  # by the environment: the processor itself may have more
    return ("float32",) if limited or imitates_bfloat16("cpu") else ("bfloat16", "float32")


def written(folder: Path, times: int, share: float = 0.1) -> Path:
    """Write a scene whose height is `times` its width, and its recipe; return the recipe's path.

    `share` is the proportion of the fields that have a polygon.
    """
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
    sharp = np.kron(g.normal(1500, 200, CLASSES)[truth].astype(np.float32), np.ones((RATIO, RATIO), np.float32))
    pan = _noisy(sharp, 120, g).astype(np.uint16)
    _write(folder / "pan.tif", iter([pan]), pan.shape, PIXEL / RATIO, "uint16", [""])
    otb.write_fields(folder, fields + 1, np.random.default_rng(1).random(fields.shape) < share)
    return write(folder / "recipe.toml", recipe(_precisions()[0]))


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
    options |= {"crs": CRS, "transform": transform, "tiled": True, "blockxsize": 256, "blockysize": 256}
    with rasterio.open(path, "w", driver="GTiff", **options) as dataset:
        for number, (layer, name) in enumerate(zip(layers, names, strict=True), start=1):
            dataset.write(layer, number)
            dataset.set_band_description(number, name)


def recipe(precision: str) -> Table:
    """Return the recipe of patchwork; `precision` is that of the map."""
    s2 = {"sensor": "series", "quality": "quality.tif", "clear": [4], "scale": 0.0001}
    return {
        "grid": {"like": "s2"},
        "sources": {
            "s2": s2 | {"variables": {band: f"{band}.tif" for band in S2}},
            "s1": {"sensor": "series", "scale": 0.01, "variables": {"vv": "vv.tif", "vh": "vh.tif"}},
            "vhr": {"sensor": "image", "path": "pan.tif", "bands": ["pan"], "scale": 0.0001},
        },
        "legend": otb.legend(CLASSES),
        "reference": {"path": "fields.shp", "label": "code"},
        "split": {"draws": 1},
        "model": {"name": "patchwork"},
        "training": {"epochs": 4, "samples_per_epoch": 1000},
        "map": {"precision": precision},
    }


def _ours(folder: Path, path: Path, precision: str) -> Callable[[], Any]:
    own, out = write(path.with_name(f"{precision}.toml"), recipe(precision)), folder / f"map-{precision}"
    model = RunLayout(folder / "run").split(0).model.path

    def work() -> None:
        shutil.rmtree(out, ignore_errors=True)
        bocage("map", own, "--model", model, "--out", out)

    return work


def _forest(folder: Path, path: Path, name: str) -> Callable[[], Any]:
    """Train another model of Bocage on the same samples; return the mapping function."""
    own = write(path.with_name(f"{name}.toml"), recipe("float32") | {"model": FORESTS[name]})
    bocage("train", own, "--out", folder / f"run-{name}")
    model, out = RunLayout(folder / f"run-{name}").split(0).model.path, folder / f"map-{name}"

    def work() -> None:
        shutil.rmtree(out, ignore_errors=True)
        bocage("map", own, "--model", model, "--out", out)

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


def _larger(folder: Path) -> tuple[list[float], float]:
    """Return the peak memory of the map and of a larger map in MB, and the larger map's median speed in pixels/s, in float32."""
    model, tall = RunLayout(folder / "run").split(0).model.path, folder / "larger"
    peaks = [bocage("map", folder / "scene/float32.toml", "--model", model, "--out", folder / "map-again")]
    larger = write(written(tall, TALLER).with_name("float32.toml"), recipe("float32"))
    spent = [
        seconds(lambda out=tall / f"out{number}": peaks.append(bocage("map", larger, "--model", model, "--out", out)))
        for number in range(ROUNDS)
    ]
    shutil.rmtree(tall)
    return [peaks[0], max(peaks[1:])], TALLER * SIDE**2 / statistics.median(spent)


if __name__ == "__main__":
    command_line(__name__)
