"""Finishing of a simulated map and of maps 4 and 16 times larger: peak memory, seams, and time against ``gdal_polygonize``.

The map is the simulated land cover at 10 m with one pixel in 25 replaced by a random class. Each map is finished in a process of
its own. Times are those of the processor, so that other processes on the machine count little.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import shapely
from affine import Affine

from benchmarks.frame import Results, command_line
from benchmarks.measuring import scratch
from bocage.grid import Grid
from bocage.layout import MapLayout
from bocage.mapping import WRITERS, AreaCount, MapBand
from bocage.mapping.delivery import Delivery
from bocage.simulate import LEGEND, World
from bocage.simulate.landscape import ground_at

SIDE, SCALES, TILE = 512, (1, 2, 4), 256
"""Side of the first map in pixels of 10 m, scale factors of the sides, and side of the tiles."""
BANDS = {
    "classes": (MapBand("class", "uint8", 0, categorical=True),),
    "confidence": (MapBand("confidence", "uint8", 255),),
}
STEPS = """
import json, sys, time
from pathlib import Path
from bocage.finish import Finishing
from bocage.objects.connected import Codes
from bocage.finish.regularise import regularise
from bocage.objects.scratch import scratch
from bocage.finish.vectors import VectorMap
from bocage.machine import peak_memory
from bocage.mapping import WRITERS, MapBand, open_delivered
from bocage.progress import QUIET
from bocage.sources.base import Decoding
from bocage.sources.raster import read

folder, tile = Path(sys.argv[1]), int(sys.argv[2])
land, tidy = open_delivered(folder), folder / "regularised.tif"
codes = Codes(land.grid, lambda w: land.read("classes", land.grid, w, 0), tile)
regular = Codes(land.grid, lambda w: read(tidy, [1], land.grid, w, "nearest", Decoding(nodata=0))[0][0], tile)


def tidied():
    with scratch(folder / "scratch") as temporary:
        found = regularise(codes, land.legend, Finishing(mmu=0.1), temporary, QUIET)
        output = WRITERS.get("cog").open(tidy, land.grid, (MapBand("class", "uint8", 0, categorical=True),), land.legend)
        for window, values in found.tiles:
            output.put(window, values[None].astype("uint8"))
        output.close()


def drawn(simplified, names):
    with scratch(folder / "scratch") as temporary:
        files = {name: folder / f"polygons.{name}" for name in names}
        VectorMap(land, regular, simplified).write(files, temporary, QUIET)


before, found = peak_memory() / 2**20, {}
works = {
    "regularise": tidied,
    "gpkg, not simplified": lambda: drawn(0, ["gpkg"]),
    "three formats, simplified": lambda: drawn(1.5, ["parquet", "gpkg", "fgb"]),
}
for name, work in works.items():
    started = time.process_time()
    work()
    found[name] = time.process_time() - started
print(json.dumps({"seconds": found, "mb_before": before, "mb": peak_memory() / 2**20}))
"""


def make_map(folder: Path, side: int) -> None:
    """Write a map of the simulated landscape with random errors."""
    grid = Grid.of("EPSG:32740", Affine(10, 0, 338_000, 0, -10, 7_668_000), (side, side))
    layout, world, areas = MapLayout(folder), World(), AreaCount(grid, LEGEND)
    folder.mkdir(parents=True)
    files = {name: layout.layer(name, ".tif") for name in BANDS}
    outputs = {name: WRITERS.get("cog").open(files[name], grid, bands, LEGEND) for name, bands in BANDS.items()}
    for window in grid.tiles(TILE):
        west, _, _, north = grid.crop(window).bounds
        x = west + 5 + 10.0 * np.arange(window.width)[None, :] + np.zeros((window.height, 1))
        y = north - 5 - 10.0 * np.arange(window.height)[:, None] + np.zeros((1, window.width))
        rng = np.random.default_rng((window.y, window.x))
        code = np.asarray(ground_at(world, x, y).code, np.uint8)
        wrong = rng.random(code.shape) < 0.04
        code = np.where(wrong, rng.integers(1, 14, code.shape), code).astype(np.uint8)
        outputs["classes"].put(window, code[None])
        outputs["confidence"].put(window, np.where(wrong, 40, 80).astype(np.uint8)[None])
        areas.count(window, code)
    for output in outputs.values():
        output.close()
    Delivery(layout, grid, LEGEND, BANDS, files, {}, None, 0.0).write(areas.areas())


def measured(folder: Path) -> dict[str, Any]:
    """Finish a map in a process of its own; return seconds of the processor and peak memory in MB."""
    command = [sys.executable, "-c", STEPS, str(folder), str(TILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def by_gdal(raster: Path, vector: Path) -> float | None:
    """Return the seconds of the processor that ``gdal_polygonize`` takes; None if it is not installed."""
    program = shutil.which("gdal_polygonize.py") or shutil.which("gdal_polygonize")
    if program is None:
        return None
    before = os.times()
    subprocess.run([program, "-q", str(raster), "-f", "GPKG", str(vector)], check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def seams(folder: Path) -> tuple[bool, int, int]:
    """Return whether the polygons are a coverage, their number, and vertices on borders of tiles that are on no corner of a border.

    A vertex is a seam if it lies on the border of a tile and its two neighbours lie on one line with it.
    """
    shapes = shapely.from_wkb(pq.read_table(folder / "polygons.parquet", columns=["geometry"])["geometry"].to_numpy())
    rings = shapely.get_rings(shapes)
    count = 0
    for ring in rings:
        xy = shapely.get_coordinates(ring)[:-1]
        on = (np.rint((xy[:, 0] - 338_000) / 10) % TILE == 0) | (np.rint((7_668_000 - xy[:, 1]) / 10) % TILE == 0)
        before, after = xy - np.roll(xy, 1, 0), np.roll(xy, -1, 0) - xy
        straight = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) < 1e-6
        count += _lonely(xy[on & straight], shapes)
    return bool(shapely.coverage_is_valid(shapes)), len(shapes), count


def _lonely(points: np.ndarray, shapes: np.ndarray) -> int:
    """Return how many points are vertices of two objects only: a straight vertex where three meet is a node."""
    if not len(points):
        return 0
    tree = shapely.STRtree(shapes)
    which, _ = tree.query(shapely.points(points), predicate="intersects")
    return int((np.bincount(which, minlength=len(points)) < 3).sum())


def run() -> str:
    """Measure memory and time, and return them in words."""
    found: dict[str, Any] = {}
    with scratch() as folder:
        make_map(folder / "warm", 300)
        measured(folder / "warm")  # compiles
        for scale in SCALES:
            land, name = folder / f"map{scale}", f"{scale * scale}x"
            make_map(land, SIDE * scale)
            found[name] = measured(land)
            valid, count, odd = seams(land)
            found[name] |= {"coverage_is_valid": valid, "polygons": count, "seams": odd}
            found[name]["seconds"]["gdal_polygonize"] = by_gdal(land / "regularised.tif", land / "gdal.gpkg")
            print(f"{name}: {found[name]}", flush=True)
            shutil.rmtree(land)
    Results("finish").save({"side": SIDE, "tile": TILE, **found})
    peaks = ", ".join(f"{one['mb'] - one['mb_before']:.0f} MB at {name}" for name, one in found.items())
    return f"bocage finish, {SIDE} x {SIDE} pixels and larger: memory above that of the imports {peaks}"


if __name__ == "__main__":
    command_line(__name__)
