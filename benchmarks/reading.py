"""Reading windows with a halo, compared with ``gdal_translate`` of the same files: deflated COG, ZSTD, JPEG 2000, years.

    python -m benchmarks reading

Three threads read windows of 256 pixels with a halo of one pixel, in the order and with the block cache of a map. "A year" has as
many bands as 34 dates of Sentinel-2 with 10 bands; not compressed, it has the form of the files of `operational`. The ratio is
that of the CPU times: of Bocage, which also scales and masks the values and skips the start of Python, and of one
``gdal_translate`` per file to memory (/dev/shm), whose start counts; medians of alternating rounds. The blocks decoded per
block are the bytes read from the files, divided by the bytes of their blocks.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil

from benchmarks.frame import Results, command_line
from benchmarks.measuring import scratch
from bocage.mapping.lattice import Lattice
from bocage.scene import aligned, make_scene
from bocage.sources import image, open_source
from bocage.sources.raster import inspect

WINDOW, THREADS, ROUNDS = 256, 3, 5
FORMS: Mapping[str, tuple[int, int, tuple[int, int], Mapping[str, object]]] = {
    "deflated COG": (6, 10, (1024, 2048), {"driver": "COG", "compress": "DEFLATE", "predictor": "YES", "overviews": "NONE"}),
    "ZSTD GeoTIFF": (
        6, 10, (1024, 2048), {"driver": "GTiff", "compress": "zstd", "predictor": 2, "tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "band"}
    ),
    "a year, deflated": (
        10, 34, (1536, 3072), {"driver": "GTiff", "compress": "DEFLATE", "predictor": 2, "tiled": True, "blockxsize": 512, "blockysize": 512, "interleave": "band"}
    ),
    "a year, not compressed": (
        10, 34, (1024, 2048), {"driver": "GTiff", "tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "band"}
    ),
    "JPEG 2000": (6, 1, (2048, 2048), {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "YCBCR420": "NO"}),
}  # fmt: skip
"""Format → number of files, bands per file, height and width, creation options."""


def run() -> str:
    """Measure all formats, and return the table."""
    if not shutil.which("gdal_translate"):
        return "gdal_translate is not installed (apt install gdal-bin)"
    with scratch() as folder:
        found = {form: _measured(form, folder / form.replace(" ", "-")) for form in FORMS}
    Results("reading").save({"formats": found})
    return "\n" + "\n".join(
        f"{form:16} {f['ours']:6.2f} s {f['gdal_translate']:6.2f} s  ratio {f['ratio']:.2f}, without a halo {f['without_halo']:.2f}; "
        f"bytes read per byte {f['bytes_per_byte']:.2f}; {f['us_per_pixel']:.2f} us of a core per pixel"
        for form, f in found.items()
    )


def _measured(form: str, folder: Path) -> dict[str, float]:
    files, bands, shape, options = FORMS[form]
    folder.mkdir()
    for number in range(files):
        _write(folder / f"{number}.tif", bands, shape, options, number)
    size = sum(path.stat().st_size for path in folder.iterdir())
    rounds = []
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as target:
        for _ in range(ROUNDS):
            ours, read = _spent(folder, 1)
            rounds.append((ours, _translate(folder, f"{target}/x.tif"), _spent(folder, 0)[0], read / size))
    ours, theirs, _, blocks = map(statistics.median, zip(*rounds, strict=True))
    ratio, plain = (statistics.median(one[k] / one[1] for one in rounds) for k in (0, 2))
    found = {"ours": ours, "gdal_translate": theirs, "ratio": ratio, "without_halo": plain, "bytes_per_byte": blocks}
    found["us_per_pixel"] = 1e6 * ours / (shape[0] * shape[1])
    return {key: round(value, 3) for key, value in found.items()}


def _write(path: Path, bands: int, shape: tuple[int, int], options: Mapping[str, object], seed: int) -> None:
    g, transform = np.random.default_rng(seed), rasterio.transform.from_origin(500_000, 5_600_000, 10, 10)
    fields = np.kron(g.integers(500, 4000, (shape[0] // 16, shape[1] // 16)), np.ones((16, 16), int))
    about = {"height": shape[0], "width": shape[1], "count": bands, "dtype": "uint16", "crs": "EPSG:32631"}
    with rasterio.MemoryFile() as memory:
        with memory.open(driver="GTiff", transform=transform, **about) as dataset:
            for band in range(1, bands + 1):
                dataset.write((fields + g.integers(0, 200, shape)).astype(np.uint16), band)
        with memory.open() as dataset:
            rasterio.shutil.copy(dataset, path, **options)


def _spent(folder: Path, halo: int) -> tuple[float, float]:
    """Return CPU time in seconds and the number of bytes read, of reading all windows in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.reading", str(folder), str(halo)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    spent, read = done.stdout.split()
    return float(spent), float(read)


def _translate(folder: Path, target: str) -> float:
    """Return the CPU time of ``gdal_translate`` of all files, in seconds."""
    spent = 0.0
    for path in sorted(folder.glob("*.tif")):
        process = subprocess.Popen(["gdal_translate", "-q", "-of", "GTiff", str(path), target])
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"gdal_translate {path}: exit code {process.returncode}")
        spent += usage.ru_utime + usage.ru_stime
    return spent


def _read(folder: Path, halo: int) -> tuple[float, int]:
    paths = sorted(folder.glob("*.tif"))  # GDAL detects the format from the content
    sources, grid = [open_source(p.stem, image, image.Settings(p)) for p in paths], inspect(paths[0]).grid
    scene = make_scene(grid, sources, {})
    lattice = Lattice(
        (WINDOW, WINDOW), WINDOW, aligned(scene.cubes, grid.shape, dict.fromkeys(scene.cubes, halo), WINDOW)
    )
    windows = [window.pad(halo, halo) for window in lattice.windows(scene, scene.cubes)]
    started, before = time.process_time(), _bytes()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda window: [len(source.read(grid, window)) for source in sources], windows))
    return time.process_time() - started, _bytes() - before


def _bytes() -> int:
    """Return the bytes that this process has read so far, from disk or from the cache of the system."""
    lines = (line.split() for line in Path("/proc/self/io").read_text(encoding="utf-8").splitlines())
    return next(int(number) for name, number in lines if name == "rchar:")


if __name__ == "__main__":
    print(*_read(Path(sys.argv[1]), int(sys.argv[2]))) if len(sys.argv) > 2 else command_line(__name__)
