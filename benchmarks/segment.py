"""Segmentation of a simulated scene and of scenes 4 and 16 times larger: tiles, peak memory, time and purity against Orfeo ToolBox.

The scene has four bands of 2 m: the reflectance of the simulated land cover with noise. Each scene is segmented in a process of its
own. Orfeo ToolBox (Debian package ``otb-bin``) segments the same files with ``LargeScaleMeanShift``. The purity is the share of
pixels whose true class is the most frequent one of their object.

    python -m benchmarks.segment [settings]     # with "settings": numbers of clusters and minima, on the first scene
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window as RioWindow

from benchmarks.frame import Results, command_line, table
from benchmarks.measuring import scratch
from bocage.grid import Grid
from bocage.simulate import World
from bocage.simulate.landscape import ground_at
from bocage.simulate.signatures import reflectance

SIDE, SCALES, TILE, PIXEL = 512, (1, 2, 4), 256, 2
"""Side of the first scene in pixels, scale factors of the sides, side of the tiles, and side of a pixel in m."""
TILES = (100, 256, 512)
"""Sides of the tiles that are compared with one piece."""
SETTINGS = ((10, 50), (20, 50), (20, 100), (20, 200), (40, 50), (60, 50), (60, 100), (100, 50))
"""Numbers of clusters and minima that ``settings`` compares."""
MINIMUM, RANGE, RADIUS = 50, 400, 5
"""Minimum of an object in pixels; range (reflectance × 10,000) and radius (pixels) of the mean shift."""
BANDS = ("blue", "green", "red", "nir")
STEPS = """
import json, sys, time
from pathlib import Path
import numpy as np
from bocage.layout import ObjectsLayout
from bocage.legend import Legend
from bocage.machine import peak_memory
from bocage.mapping import WRITERS, MapBand
from bocage.objects import Segmenting
from bocage.objects.segment import segment
from bocage.objects.stack import Stack
from bocage.progress import QUIET
from bocage.scene import make_scene
from bocage.simulate import LEGEND
from bocage.sources import SENSORS, open_source
import sklearn.cluster, scipy.sparse.csgraph

folder, tile, clusters, minimum = Path(sys.argv[1]), *map(int, sys.argv[2:5])
image = SENSORS.get("image")
bands = sys.argv[5].split(",")
source = open_source("vhr", image, image.Settings(path=folder / "image.tif", bands=bands))
stack = Stack.of(make_scene(source.grid, [source], {}).cubes, (), ())
before, started, busy = peak_memory() / 2**20, time.perf_counter(), time.process_time()
found = segment(stack, Segmenting(tile=tile, clusters=clusters, minimum=minimum), folder / f"scratch{tile}", "", QUIET)
output = WRITERS.get("cog").open(
    folder / f"ids{tile}.tif", stack.grid, (MapBand("object", "uint32", 0, numbers=True),), LEGEND
)
for window, numbers in found.tiles:
    output.put(window, numbers[None])
output.close()
print(json.dumps({
    "objects": found.count, "seconds": time.perf_counter() - started, "processor": time.process_time() - busy,
    "mb_before": before, "mb": peak_memory() / 2**20,
}))
"""


def make_scene(folder: Path, side: int) -> None:
    """Write the image and the true classes of a simulated landscape."""
    folder.mkdir(parents=True)
    grid = Grid.of("EPSG:32740", Affine(PIXEL, 0, 338_000, 0, -PIXEL, 7_668_000), (side, side))
    form: dict[str, Any] = {
        "driver": "GTiff",
        "height": side,
        "width": side,
        "crs": "EPSG:32740",
        "transform": grid.transform,
    }
    form |= {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    world = World()
    with (
        rasterio.open(folder / "image.tif", "w", count=len(BANDS), dtype="uint16", nodata=0, **form) as image,
        rasterio.open(folder / "truth.tif", "w", count=1, dtype="uint8", **form) as truth,
    ):
        for window in grid.tiles(TILE):
            west, _, _, north = grid.crop(window).bounds
            x = west + PIXEL * (0.5 + np.arange(window.width)[None, :]) + np.zeros((window.height, 1))
            y = north - PIXEL * (0.5 + np.arange(window.height)[:, None]) + np.zeros((1, window.width))
            ground = ground_at(world, x, y)
            noise = np.random.default_rng((window.y, window.x)).normal(1, 0.03, (len(BANDS), *x.shape))
            values = reflectance(world, ground, 150, BANDS, True) * noise
            place = RioWindow(window.x, window.y, window.width, window.height)
            image.write(np.clip(values * 10_000, 1, 65_535).astype("uint16"), window=place)
            truth.write(np.asarray(ground.code, np.uint8)[None], window=place)


def ours(
    folder: Path, tile: int, clusters: int = 60, minimum: int = MINIMUM, bands: tuple[str, ...] = BANDS
) -> dict[str, Any]:
    """Segment a scene in a process of its own; return the number of objects, seconds and peak memory in MB."""
    command = [sys.executable, "-c", STEPS, str(folder), *map(str, (tile, clusters, minimum)), ",".join(bands)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    shutil.rmtree(folder / f"scratch{tile}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def otb(folder: Path) -> dict[str, Any] | None:
    """Segment a scene with Orfeo ToolBox; return the seconds; None if it is not installed."""
    if shutil.which("otbcli_LargeScaleMeanShift") is None:
        return None
    command = [
        "otbcli_LargeScaleMeanShift", "-in", "image.tif", "-spatialr", str(RADIUS), "-ranger", str(RANGE), "-minsize", str(MINIMUM),
        "-tilesizex", str(TILE), "-tilesizey", str(TILE), "-mode", "raster", "-mode.raster.out", "otb.tif", "uint32",
    ]  # fmt: skip
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    after, seconds = os.times(), time.perf_counter() - started
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": seconds, "processor": busy, **purity(folder / "otb.tif", folder / "truth.tif")}


def purity(ids: Path, truth: Path) -> dict[str, float]:
    """Return the purity of the objects, their number, and the number of objects for each connected patch of one true class."""
    from scipy.ndimage import label

    with rasterio.open(ids) as one, rasterio.open(truth) as other:
        number, code = one.read(1).astype(np.int64), other.read(1)
    _, number = np.unique(number, return_inverse=True)
    number = number.reshape(code.shape)
    table = np.zeros((number.max() + 1, 256), np.int64)
    np.add.at(table, (number, code), 1)
    patches = sum(label(code == value)[1] for value in np.unique(code))
    return {
        "objects": int(number.max()) + 1,
        "purity": float(table.max(1).sum() / code.size),
        "per_patch": (int(number.max()) + 1) / patches,
    }


def differing(one: Path, other: Path) -> float:
    """Return the share of pixels whose objects in two rasters differ in more than their number."""
    with rasterio.open(one) as a, rasterio.open(other) as b:
        first, second = a.read(1).astype(np.int64).ravel(), b.read(1).astype(np.int64).ravel()
    _, pair, count = np.unique(first << 32 | second, return_inverse=True, return_counts=True)
    same = (count[pair] == np.bincount(first)[first]) & (count[pair] == np.bincount(second)[second])
    return float(1 - same.mean())


def settings() -> str:
    """Return a table of the number and the purity of the objects of the first scene, for several settings."""
    rows = []
    with scratch() as folder:
        make_scene(folder / "scene", SIDE)
        for clusters, minimum in SETTINGS:
            ours(folder / "scene", TILE, clusters, minimum)
            found = purity(folder / f"scene/ids{TILE}.tif", folder / "scene/truth.tif")
            rows.append((clusters, minimum, found["objects"], f"{found['purity']:.3f}"))
    return table(("clusters", "minimum", "objects", "purity"), rows)


WORDS = ("settings",)
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure tiles, memory, time and purity, and return them in words; with "settings", several settings of the first scene."""
    if "settings" in wanted:
        return settings()
    found: dict[str, Any] = {}
    with scratch() as folder:
        make_scene(folder / "warm", 100)
        ours(folder / "warm", TILE)  # compiles
        for scale in SCALES:
            scene, name = folder / f"scene{scale}", f"{scale * scale}x"
            make_scene(scene, SIDE * scale)
            found[name] = {
                **ours(scene, TILE),
                **purity(scene / f"ids{TILE}.tif", scene / "truth.tif"),
                "otb": otb(scene),
            }
            print(f"{name}: {found[name]}", flush=True)
            if scale == 2:
                ours(scene, 8192)
                for tile in TILES:
                    ours(scene, tile)
                    found.setdefault("differing", {})[str(tile)] = differing(
                        scene / f"ids{tile}.tif", scene / "ids8192.tif"
                    )
            shutil.rmtree(scene)
    Results("segment").save({"side": SIDE, "tile": TILE, "minimum": MINIMUM, **found})
    peaks = ", ".join(f"{found[n]['mb'] - found[n]['mb_before']:.0f} MB at {n}" for n in ("1x", "4x", "16x"))
    most = max(found["differing"].values())
    return f"bocage segment: at most {most:.4%} of the pixels differ for any tiles; memory above that of the imports {peaks}"


if __name__ == "__main__":
    command_line(__name__)
