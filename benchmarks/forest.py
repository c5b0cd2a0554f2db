"""Mapping with a random forest, compared with Orfeo ToolBox, on one raster of 340 bands with noisy classes.

Both use 100 trees of depth 25, train on the same polygons and classify the same raster, each in its own process. Orfeo
ToolBox comes from the Debian package ``otb-bin``.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
import shapely

from benchmarks import otb
from benchmarks.record import interleaved, save

SIDE, BANDS, CLASSES, FIELD, ROUNDS = 480, 340, 8, 16, 3
"""Side of the raster in pixels, bands, classes, side of a field in pixels, rounds."""
NOISE = 5.0
"""Standard deviation of the pixels within a class; that of the class means is 1."""
CORNER, PIXEL = (500_000, 5_600_000), 10


def run() -> str:
    if not otb.is_here():
        return "Orfeo ToolBox is not on this machine (apt install otb-bin); nothing to compare with"
    with tempfile.TemporaryDirectory(dir=os.environ.get("BOCAGE_BENCH")) as name:
        folder = Path(name)
        truth, trained_on = _landscape(folder)
        works = {"ours": _ours(folder), "theirs": otb.forest(folder, "stack.tif")}
        spent = interleaved(works, ROUNDS)
        accuracy = {
            who: _accuracy(folder / path, truth, trained_on)
            for who, path in (("ours", "ours/map/classes.tif"), ("theirs", "theirs.tif"))
        }
    found: dict[str, Any] = {
        "side": SIDE,
        "bands": BANDS,
        "seconds": spent,
        "accuracy": accuracy,
        "ratio": spent["theirs"] / spent["ours"],
    }
    save("forest", found)
    return (
        f"{SIDE} x {SIDE} pixels of {BANDS} bands, 100 trees: {spent['ours']:.1f} s against Orfeo ToolBox's {spent['theirs']:.1f} s, {found['ratio']:.2f} times as fast; "
        f"accuracy {accuracy['ours']:.3f} and {accuracy['theirs']:.3f}"
    )


def _landscape(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Write the raster and the polygons; return the truth and the mask of the fields with polygons, per pixel."""
    g, n = np.random.default_rng(0), SIDE // FIELD
    fields = g.integers(1, CLASSES + 1, (n, n))
    truth = np.kron(fields, np.ones((FIELD, FIELD), int))
    means = g.normal(0, 1, (CLASSES + 1, BANDS)).astype(np.float32)
    chosen = g.random((n, n)) < 0.2
    transform = rasterio.transform.from_origin(*CORNER, PIXEL, PIXEL)
    profile = {
        "driver": "GTiff",
        "width": SIDE,
        "height": SIDE,
        "count": BANDS,
        "dtype": "float32",
        "crs": "EPSG:32631",
        "transform": transform,
    }
    with rasterio.open(
        folder / "stack.tif", "w", **profile, tiled=True, blockxsize=256, blockysize=256, interleave="pixel"
    ) as dataset:
        dataset.write(
            np.stack([means[truth, b] + g.normal(0, NOISE, truth.shape).astype(np.float32) for b in range(BANDS)])
        )
    rows, columns = np.nonzero(chosen)
    boxes = [
        shapely.box(CORNER[0] + PIXEL * (FIELD * c + 2), CORNER[1] - PIXEL * (FIELD * (r + 1) - 2), CORNER[0] + PIXEL * (FIELD * (c + 1) - 2), CORNER[1] - PIXEL * (FIELD * r + 2))
        for r, c in zip(rows, columns, strict=True)
    ]  # fmt: skip
    table = geopandas.GeoDataFrame({"code": fields[chosen]}, geometry=boxes, crs="EPSG:32631")
    table.to_file(folder / "fields.shp")
    return truth, np.kron(chosen, np.ones((FIELD, FIELD), bool))


def _ours(folder: Path) -> Any:
    names = ", ".join(f'"b{i}"' for i in range(BANDS))
    legend = ", ".join(f'{{ code = {i}, name = "class {i}" }}' for i in range(1, CLASSES + 1))
    (folder / "recipe.toml").write_text(
        f'[grid]\nlike = "stack"\n[sources.stack]\nsensor = "image"\npath = "stack.tif"\nbands = [{names}]\n'
        f'[legend]\nclasses = [{legend}]\n[reference]\npath = "fields.shp"\nlabel = "code"\n[split]\ntrain = 0.9\ndraws = 1\n'
        '[model]\nname = "random_forest"\ntrees = 100\nmax_depth = 25\n[training]\ncalibrate = false\n'
    )
    bocage = [sys.executable, "-m", "bocage"]
    subprocess.run([*bocage, "train", folder / "recipe.toml", "--out", folder / "run"], check=True, capture_output=True)
    command = [
        *bocage,
        "map",
        folder / "recipe.toml",
        "--model",
        folder / "run/splits/0/model",
        "--out",
        folder / "ours",
    ]

    def work() -> None:
        shutil.rmtree(folder / "ours", ignore_errors=True)
        subprocess.run(command, check=True, capture_output=True)

    return work


def _accuracy(path: Path, truth: np.ndarray, trained_on: np.ndarray) -> float:
    """Return the share of correctly classified pixels in the fields without polygons."""
    with rasterio.open(path) as dataset:
        return float((dataset.read(1) == truth)[~trained_on].mean())
