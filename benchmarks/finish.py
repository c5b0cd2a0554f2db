"""Finishing of a simulated map and of maps 4 and 16 times larger: peak memory, seams, and time against ``gdal_polygonize``.

The map is the simulated land cover at 10 m with one pixel in 25 replaced by a random class. Each step runs in its own process.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import shapely
from affine import Affine

from benchmarks.frame import Results
from benchmarks.measuring import scratch, seconds
from bocage.grid import Grid
from bocage.layout import MapLayout
from bocage.mapping import WRITERS, AreaCount, MapBand
from bocage.mapping.delivery import Delivery
from bocage.simulate import LEGEND, World
from bocage.simulate.landscape import ground_at

SIDE, SCALES, TILE = 768, (1, 2, 4), 512
"""Side of the first map in pixels of 10 m, scale factors of the sides, and side of the tiles."""
BANDS = {
    "classes": (MapBand("class", "uint8", 0, categorical=True),),
    "confidence": (MapBand("confidence", "uint8", 255),),
}
STEP = """
import json, sys, time
from pathlib import Path
from bocage.finish import Finishing
from bocage.finish.objects import Codes
from bocage.finish.regularise import regularise
from bocage.finish.scratch import scratch
from bocage.finish.vectors import VectorMap
from bocage.machine import peak_memory
from bocage.mapping import WRITERS, MapBand, open_delivered
from bocage.progress import QUIET

step, folder, simplified, tile = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
land = open_delivered(folder)
codes = Codes(land.grid, lambda w: land.read("classes", land.grid, w, 0), tile)
if step == "polygons":
    from bocage.sources.base import Decoding
    from bocage.sources.raster import read
    path = folder / "regularised.tif"
    codes = Codes(land.grid, lambda w: read(path, [1], land.grid, w, "nearest", Decoding(nodata=0))[0][0], tile)
started = time.perf_counter()
with scratch(folder / "scratch") as temporary:
    if step == "regularise":
        found = regularise(codes, land.legend, Finishing(mmu=0.1), temporary, QUIET)
        band = (MapBand("class", "uint8", 0, categorical=True),)
        output = WRITERS.get("cog").open(folder / "regularised.tif", land.grid, band, land.legend)
        for window, values in found.tiles:
            output.put(window, values[None].astype("uint8"))
        output.close()
    else:
        files = {name: folder / f"polygons.{name}" for name in ("parquet", "gpkg", "fgb")}
        VectorMap(land, codes, simplified).write(files, temporary, QUIET)
print(json.dumps([time.perf_counter() - started, peak_memory() / 2**20]))
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


def measured(step: str, folder: Path, simplified: float = 1.5) -> tuple[float, float]:
    """Run a step in its own process; return its duration in seconds and its peak memory in MB."""
    command = [sys.executable, "-c", STEP, step, str(folder), str(simplified), str(TILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, second = done.stdout.strip().strip("[]").split(",")
    return float(first), float(second)


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
    found: dict[str, dict[str, float | bool]] = {}
    with scratch() as folder:
        make_map(folder / "warm", 300)
        measured("regularise", folder / "warm")  # compiles
        measured("polygons", folder / "warm")
        for scale in SCALES:
            land = folder / f"map{scale}"
            make_map(land, SIDE * scale)
            first, second = measured("regularise", land), measured("polygons", land)
            valid, count, odd = seams(land)
            found[f"{scale * scale}x"] = {
                "regularise_seconds": first[0], "regularise_mb": first[1], "polygons_seconds": second[0],
                "polygons_mb": second[1], "coverage_is_valid": valid, "polygons": count, "seams": odd,
            }  # fmt: skip
            if program := shutil.which("gdal_polygonize.py") or shutil.which("gdal_polygonize"):
                command = [program, "-q", str(land / "regularised.tif"), "-f", "GPKG", str(land / "gdal.gpkg")]
                own = measured("polygons", land, 0)
                found[f"{scale * scale}x"] |= {
                    "gdal_seconds": seconds(lambda command=command: subprocess.run(command, check=True)),  # type: ignore[misc]
                    "not_simplified_seconds": own[0],
                }
            shutil.rmtree(land)
            print(f"{scale * scale}x: {found[f'{scale * scale}x']}", flush=True)
    Results("finish").save({"side": SIDE, "tile": TILE, **found})
    base, large = found["1x"], found["16x"]
    return (
        f"bocage finish, {SIDE} x {SIDE} pixels: regularise {base['regularise_mb']:.0f} MB, polygons {base['polygons_mb']:.0f} MB; "
        f"16 times: {large['regularise_mb']:.0f} MB and {large['polygons_mb']:.0f} MB; seams {large['seams']}"
    )
