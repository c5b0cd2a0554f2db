"""Mapping with a random forest, compared with Orfeo ToolBox, on one raster of 340 bands with noisy classes.

Both use 100 trees of depth 25, train on the same polygons and classify the same raster, each in its own process. Orfeo
ToolBox comes from the Debian package ``otb-bin``.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from benchmarks import otb
from benchmarks.frame import Results, command_line
from benchmarks.measuring import bocage, interleaved, scratch
from benchmarks.otb import CORNER, CRS, FIELD, PIXEL
from benchmarks.recipes import Table, write
from bocage.layout import RunLayout

SIDE, BANDS, CLASSES, ROUNDS = 480, 340, 8, 3
"""Side of the raster in pixels, bands, classes, rounds."""
NOISE = 5.0
"""Standard deviation of the pixels within a class; that of the class means is 1."""


def run() -> str:
    """Measure time and accuracy of both, and return them in words."""
    if not otb.is_installed():
        return "Orfeo ToolBox is not installed (apt install otb-bin)"
    with scratch() as folder:
        truth, trained_on = _landscape(folder)
        spent = interleaved({"ours": _ours(folder), "theirs": otb.forest(folder, "stack.tif")}, ROUNDS)
        maps = {"ours": RunLayout(folder / "ours").map.layer("classes", ".tif"), "theirs": folder / "theirs.tif"}
        accuracy = {name: _accuracy(path, truth, trained_on) for name, path in maps.items()}
    ratio = spent["theirs"] / spent["ours"]
    Results("forest").save({"side": SIDE, "bands": BANDS, "seconds": spent, "accuracy": accuracy, "ratio": ratio})
    return (
        f"{SIDE} x {SIDE} pixels of {BANDS} bands, 100 trees: {spent['ours']:.1f} s against Orfeo ToolBox's {spent['theirs']:.1f} s, {ratio:.2f} times as fast; "
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
        "crs": CRS,
        "transform": transform,
    }
    with rasterio.open(
        folder / "stack.tif", "w", **profile, tiled=True, blockxsize=256, blockysize=256, interleave="pixel"
    ) as dataset:
        dataset.write(
            np.stack([means[truth, b] + g.normal(0, NOISE, truth.shape).astype(np.float32) for b in range(BANDS)])
        )
    otb.write_fields(folder, fields, chosen)
    return truth, np.kron(chosen, np.ones((FIELD, FIELD), bool))


def recipe() -> Table:
    """Return the recipe of the random forest."""
    return {
        "grid": {"like": "stack"},
        "sources": {"stack": {"sensor": "image", "path": "stack.tif", "bands": [f"b{i}" for i in range(BANDS)]}},
        "legend": otb.legend(CLASSES),
        "reference": {"path": "fields.shp", "label": "code"},
        "split": {"train": 0.9, "draws": 1},
        "model": {"name": "random_forest", "trees": 100, "max_depth": 25},
        "training": {"calibrate": False},
    }


def _ours(folder: Path) -> Callable[[], Any]:
    """Train, and return the mapping function."""
    path, out = write(folder / "recipe.toml", recipe()), folder / "ours"
    bocage("train", path, "--out", folder / "run")
    model = RunLayout(folder / "run").split(0).model.path

    def work() -> None:
        shutil.rmtree(out, ignore_errors=True)
        bocage("map", path, "--model", model, "--out", out)

    return work


def _accuracy(path: Path, truth: np.ndarray, trained_on: np.ndarray) -> float:
    """Return the share of correctly classified pixels in the fields without polygons."""
    with rasterio.open(path) as dataset:
        return float((dataset.read(1) == truth)[~trained_on].mean())


if __name__ == "__main__":
    command_line(__name__)
