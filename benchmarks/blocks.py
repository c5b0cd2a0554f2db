"""Size of GDAL's block cache: three threads read windows with a halo from compressed rasters, with several cache sizes.

A window of 256 pixels with a halo of one pixel touches nine blocks of 256 pixels in each band; JPEG 2000 has blocks of 1024
pixels. The result is the CPU time of all cores, in a separate process for each size, divided by the time of windows without a
halo with Bocage's default cache.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import rasterio

from benchmarks.frame import command_line
from benchmarks.measuring import scratch
from bocage.scene import in_order, keep_blocks, make_scene
from bocage.sources import image, open_source
from bocage.sources.raster import inspect

SHAPE, WINDOW, THREADS = (1024, 2048), 256, 3
SIZES = ("32", "", "1200")
"""Cache size in MB; "" is Bocage's default."""
FORMS: Mapping[str, tuple[int, int, Mapping[str, object]]] = {
    "deflated GeoTIFF": (
        6, 10, {"driver": "GTiff", "compress": "deflate", "tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "band"}
    ),
    "JPEG 2000": (4, 3, {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "YCBCR420": "NO"}),
}  # fmt: skip
"""Format → number of files, bands per file, creation options."""


def run() -> str:
    """Measure all formats, and return the ratios in words."""
    with scratch() as folder:
        return "; ".join(_measured(form, folder / form.replace(" ", "-")) for form in FORMS)


def _measured(form: str, folder: Path) -> str:
    files, bands, options = FORMS[form]
    folder.mkdir()
    for number in range(files):
        _write(folder / f"{number}.tif", bands, options, number)
    without = _seconds(folder, "", 0)
    ratios = (f"{size or 'own'}{' MB' * bool(size)} {_seconds(folder, size, 1) / without:.1f}" for size in SIZES)
    return (
        f"{form}, {files * bands} bands, {without:.1f} s without a halo; with one, times as long: {', '.join(ratios)}"
    )


def _write(path: Path, bands: int, options: Mapping[str, object], seed: int) -> None:
    g, transform = np.random.default_rng(seed), rasterio.transform.from_origin(500_000, 5_600_000, 10, 10)
    fields = np.kron(g.integers(500, 4000, (SHAPE[0] // 16, SHAPE[1] // 16)), np.ones((16, 16), int))
    about = {"height": SHAPE[0], "width": SHAPE[1], "count": bands, "dtype": "uint16"}
    with rasterio.open(path, "w", crs="EPSG:32631", transform=transform, **about, **options) as dataset:
        for band in range(1, bands + 1):
            dataset.write((fields + g.integers(0, 200, SHAPE)).astype(np.uint16), band)


def _seconds(folder: Path, size: str, halo: int) -> float:
    """Return the CPU time of all cores for reading all windows, in seconds, measured in a separate process."""
    environment = {k: v for k, v in os.environ.items() if k != "GDAL_CACHEMAX"} | (
        {"GDAL_CACHEMAX": size} if size else {}
    )
    command = [sys.executable, "-m", "benchmarks.blocks", str(folder), str(halo)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def _read(folder: Path, halo: int) -> float:
    paths = sorted(folder.glob("*.tif"))  # GDAL detects the format from the content
    sources, grid = [open_source(p.stem, image, image.Settings(p)) for p in paths], inspect(paths[0]).grid
    cubes = list(make_scene(grid, sources, {}).cubes.values())
    keep_blocks(cubes)
    windows = [window.pad(halo, halo) for window in in_order(grid.tiles(WINDOW), cubes)]
    started = time.process_time()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda window: [len(source.read(grid, window)) for source in sources], windows))
    return time.process_time() - started


if __name__ == "__main__":
    print(_read(Path(sys.argv[1]), int(sys.argv[2]))) if len(sys.argv) > 2 else command_line(__name__)
