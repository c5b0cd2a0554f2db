"""Reading a product by window, compared with ``gdal_translate`` of the same files: JPEG 2000 (SAFE), deflated TIFF (THEIA).

Neither writes to disk: Bocage keeps arrays, and gdal_translate writes to memory-backed storage if available.
"""

import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from benchmarks.frame import command_line
from benchmarks.measuring import seconds
from bocage.grid import Grid
from bocage.progress import QUIET
from bocage.simulate import Simulation, simulate
from bocage.simulate.formats import plain, safe, theia
from bocage.sources import Source, open_source, sentinel2_l2a, sentinel2_theia

SIDE, WINDOW, TURNS = 2560, 512, 5
"""Side of the product and of the windows in 10 m pixels, and number of rounds."""
BANDS = ("blue", "green", "red", "nir")


def run() -> str:
    """Measure both formats, and return the ratios in words."""
    if not shutil.which("gdal_translate"):
        return "gdal_translate is not installed (apt install gdal-bin)"
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory(dir=memory) as target:
        texts = []
        for form, sensor, writer in (("safe", sentinel2_l2a, safe), ("theia", sentinel2_theia, theia)):
            folder = Path(name) / form
            _write(writer, Path(name) / "plain", folder)
            settings = sensor.Settings(folder, bands=BANDS)
            ours, theirs = [], []
            for _ in range(TURNS):
                source: Any = open_source("s2", sensor, settings)
                files = sorted(
                    {file.path for a in source.acquisitions for file in (*a.files.values(), *a.quality.values())}
                )
                ours.append(seconds(lambda source=source: _read(source)))
                theirs.append(seconds(lambda files=files: _translate(files, f"{target}/x.tif")))
            ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
            spent = f"{statistics.median(ours):.2f} s against {statistics.median(theirs):.2f} s"
            texts.append(f"{form}: {spent} for {len(files)} files, {ratio:.2f} times")
        return f"{SIDE} x {SIDE} pixels, 4 bands and masks, windows of {WINDOW}: " + "; ".join(texts)


def _read(source: Source) -> None:
    """Read all windows in a new thread: datasets stay open in their thread, and each round must open the files again."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: [len(source.read(source.grid, window)) for window in source.grid.tiles(WINDOW)]).result()


def _translate(files: Iterable[Path], target: str) -> None:
    for file in files:
        command = ["gdal_translate", "-q", "-of", "GTiff", str(file), target]
        subprocess.run(command, check=True, capture_output=True)


def _write(writer: object, source: Path, folder: Path) -> None:
    """Write one date of one tile: a simulated landscape, repeated to fill the size of the tile."""
    if not source.exists():
        simulate(Simulation(height=1300, width=1300, polygons=2, sensors=("s2",)), source.parent / "land")
        source.mkdir()
        for path in (source.parent / "land/s2").glob("*.tif"):
            with rasterio.open(path) as d:
                layer, names = d.read(1), d.descriptions[:1]
                grid = Grid.of(d.crs, d.transform, (SIDE, SIDE) if d.res[0] == 10 else (SIDE // 2, SIDE // 2))
            times = -(-grid.shape[0] // layer.shape[0])
            whole = np.tile(layer, (times, times))[: grid.shape[0], : grid.shape[1]]
            plain.write_raster(source / path.name, whole[None], grid, 0)
            with rasterio.open(source / path.name, "r+") as d:
                d.descriptions = names
    writer.write(source, folder, QUIET)  # type: ignore[attr-defined]


if __name__ == "__main__":
    command_line(__name__)
