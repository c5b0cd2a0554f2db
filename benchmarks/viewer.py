"""First picture, time of tiles and memory of ``bocage view`` on a map of 20 000 x 20 000 pixels.

    python -m benchmarks viewer

The map and an image of three bands are written as COGs; the server runs in its own process. Tiles are drawn at random from all
levels, by one client and by six at a time, as a browser asks; ``cpu`` is the
time of the processor for a tile, which other work on the machine does not change. The first picture is measured in Chromium, if it is installed.
"""

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
from affine import Affine

from benchmarks.frame import Results, command_line
from benchmarks.measuring import scratch
from bocage.disk import write_text
from bocage.grid import Grid
from bocage.layout import MapLayout, RunLayout
from bocage.legend import LandClass, Legend
from bocage.mapping import WRITERS, AreaCount, MapBand
from bocage.mapping.delivery import Delivery
from bocage.provenance import Provenance

SIDE, STRIP, FIELD = 20_000, 2_048, 40
LEGEND = Legend(tuple(LandClass(code, f"class {code}") for code in range(1, 13)))
TILES, CLIENTS, OPENINGS = 300, 6, 5
RECIPE = """
name = "large"
[grid]
like = "image"
[sources.image]
sensor = "image"
path = "image.tif"
bands = ["red", "green", "blue"]
[legend]
classes = [{classes}]
[reference]
path = "reference.gpkg"
label = "code"
[model]
name = "random_forest"
"""


def run(side: int = SIDE) -> str:
    """Measure, save and return a table."""
    with scratch() as folder:
        grid = Grid.of("EPSG:32740", Affine(1.5, 0, 300_000, 0, -1.5, 7_700_000), (side, side))
        write_run(folder, grid)
        command = [sys.executable, "-m", "bocage", "view", str(folder), "--no-browser"]
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            address = _address(process)
            found = {"side": side, "seconds_to_address": round(time.perf_counter() - started, 2)}
            found |= measured(address, psutil.Process(process.pid))
            process.terminate()
    Results("viewer").save(found)
    return "\n" + "\n".join(f"{key:34} {value}" for key, value in found.items())


def measured(address: str, server: psutil.Process) -> dict[str, float]:
    """Return the times of first pictures and tiles, and the memory of the server."""
    found = {"memory_before_mb": round(server.memory_info().rss / 2**20)}
    started = time.perf_counter()
    runs = json.loads(_get(f"{address}runs"))[0]
    _get(f"{address}layer/0/classes/0/0/0.png")
    found["first_tile_s"] = round(time.perf_counter() - started, 3)
    started = time.perf_counter()
    scene = json.loads(_get(f"{address}scene/0"))
    found["imagery_open_s"] = round(time.perf_counter() - started, 3)
    rng = np.random.default_rng(0)
    for kind, prefix, levels in (
        ("classes", "layer/0/classes", runs["native"]),
        ("imagery", f"image/0/{scene['sources'][0]['name']}/0", len(scene["resolutions"]) - 1),
    ):
        names = _tiles(prefix, levels, runs, rng)
        for clients in (1, CLIENTS):
            half = names[:TILES] if clients == 1 else names[TILES:]
            before = sum(server.cpu_times()[:2])
            with ThreadPoolExecutor(clients) as pool:
                times = 1000 * np.array(list(pool.map(lambda name: _seconds(address + name), half)))
            for percentile in (50, 95):
                found[f"{kind}_p{percentile}_ms_{clients}_clients"] = round(float(np.percentile(times, percentile)), 1)
            found[f"{kind}_cpu_ms_{clients}_clients"] = round(
                1000 * (sum(server.cpu_times()[:2]) - before) / len(half), 1
            )
    found["memory_after_mb"] = round(server.memory_info().rss / 2**20)
    return found | _in_browser(address)


def _tiles(prefix: str, levels: int, runs: dict, rng: np.random.Generator) -> list[str]:
    """Return addresses of tiles, each of a random level."""
    names = []
    for level in rng.integers(0, levels + 1, 2 * TILES).tolist():
        count = -(-max(runs["shape"]) // (runs["tile"] * 2 ** (runs["native"] - level)))
        row, column = rng.integers(0, count, 2).tolist()
        names.append(f"{prefix}/{level}/{row}/{column}.png")
    return names


def _in_browser(address: str) -> dict[str, float]:
    """Return the seconds from the request of the page to the whole map, and to map and imagery, in Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return {}
    from playwright.sync_api import sync_playwright

    times = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(OPENINGS):
            context = browser.new_context(viewport={"width": 1280, "height": 800})  # nothing is cached
            page, started = context.new_page(), time.perf_counter()
            page.goto(address)
            page.wait_for_selector("body[data-ready]", timeout=60_000)
            first = time.perf_counter() - started
            page.wait_for_selector("body[data-ready=all]", timeout=60_000)
            times.append((first, time.perf_counter() - started))
            context.close()
        browser.close()
    first, everything = np.median(times, axis=0)
    return {"page_to_map_s": round(float(first), 2), "page_to_imagery_s": round(float(everything), 2)}


def _address(process: subprocess.Popen) -> str:
    """Return the address that the command prints."""
    for line in process.stdout:
        if line.startswith("page: "):
            return line.removeprefix("page: ").strip()
    raise RuntimeError("the server did not start")


def _get(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=60) as answer:
        return answer.read()


def _seconds(address: str) -> float:
    started = time.perf_counter()
    _get(address)
    return time.perf_counter() - started


def write_run(folder: Path, grid: Grid) -> None:
    """Write a run with a map, as a complete run leaves it, and its image."""
    layout, count = RunLayout(folder), AreaCount(grid, LEGEND)
    map_layout = MapLayout(layout.map.path)
    map_layout.path.mkdir(parents=True)
    bands = {
        "classes": (MapBand("class", "uint8", 0, categorical=True),),
        "confidence": (MapBand("confidence", "uint8", 255),),
    }
    image = (tuple(MapBand(name, "uint16", 0) for name in ("red", "green", "blue")),)
    files = {name: map_layout.layer(name, ".tif") for name in bands}
    cog, rng = WRITERS.get("cog"), np.random.default_rng(0)
    opened = {name: cog.open(files[name], grid, bands[name], LEGEND) for name in bands}
    picture = cog.open(folder / "image.tif", grid, *image, LEGEND)
    for window in grid.tiles(STRIP):
        shape = (window.height, window.width)
        fields = rng.integers(1, 13, (-(-shape[0] // FIELD), -(-shape[1] // FIELD)), dtype=np.uint8)
        codes = fields.repeat(FIELD, 0).repeat(FIELD, 1)[: shape[0], : shape[1]]
        opened["classes"].put(window, codes[None])
        opened["confidence"].put(window, rng.integers(40, 100, (1, *shape), dtype=np.uint8))
        count.count(window, codes)
        noise = rng.integers(0, 60, shape, dtype=np.uint16)
        picture.put(window, np.stack([codes * np.uint16(100 + 20 * k) + noise for k in range(3)]))
    for one in (*opened.values(), picture):
        one.close()
    Delivery(map_layout, grid, LEGEND, bands, files, {}, None, time.time()).write(count.areas())
    classes = ", ".join(f'{{ code = {c.code}, name = "{c.name}" }}' for c in LEGEND.classes)
    write_text(folder / "recipe-of-benchmark.toml", RECIPE.format(classes=classes))
    recipe = str(folder / "recipe-of-benchmark.toml")
    Provenance("large", "random_forest", {}, recipe, {}, {}, "2026-01-01T00:00:00+00:00").save(layout.provenance)


if __name__ == "__main__":
    command_line(__name__)
