"""Random forest of Orfeo ToolBox (Debian package ``otb-bin``): the fields for its training, training and mapping."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely

CORNER, PIXEL, FIELD, CRS = (500_000, 5_600_000), 10, 16, "EPSG:32631"
"""Corner of the rasters, pixel size in m, side of a field in pixels, CRS."""


def is_installed() -> bool:
    """Return whether Orfeo ToolBox is installed."""
    return bool(shutil.which("otbcli_ImageClassifier"))


def forest(folder: Path, raster: str, most: int = -1) -> Callable[[], Any]:
    """Train 100 trees of depth 25 on ``fields.shp`` in `folder`; return the mapping function, which writes ``theirs.tif``.

    `most` is the maximum number of training samples per class; -1 uses all.
    """
    train = [
        "otbcli_TrainImagesClassifier", "-io.il", raster, "-io.vd", "fields.shp", "-sample.vfn", "code", "-sample.vtr", "0", "-sample.mt", str(most),
        "-sample.mv", "0", "-sample.bm", "0", "-classifier", "rf", "-classifier.rf.max", "25", "-classifier.rf.min", "1", "-classifier.rf.nbtrees", "100",
        "-classifier.rf.acc", "0", "-io.out", "theirs.model",
    ]  # fmt: skip
    done = subprocess.run(train, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    command = [
        "otbcli_ImageClassifier", "-in", raster, "-model", "theirs.model", "-out", "theirs.tif?&gdal:co:COMPRESS=DEFLATE&gdal:co:TILED=YES", "uint8",
        "-confmap", "theirs_confidence.tif?&gdal:co:COMPRESS=DEFLATE&gdal:co:TILED=YES", "float",
    ]  # fmt: skip
    return lambda: subprocess.run(command, cwd=folder, check=True, capture_output=True)


def write_fields(folder: Path, codes: np.ndarray, chosen: np.ndarray) -> None:
    """Write the polygons of the chosen fields, without a border of two pixels, to ``fields.shp``.

    `codes` and `chosen` (rows, columns of fields) are the class code of each field, and whether it has a polygon.
    """
    rows, columns = np.nonzero(chosen)
    side, edge = PIXEL * FIELD, 2 * PIXEL
    west, north = CORNER[0] + side * columns, CORNER[1] - side * rows
    boxes = shapely.box(west + edge, north - side + edge, west + side - edge, north - edge)
    geopandas.GeoDataFrame({"code": codes[chosen]}, geometry=boxes, crs=CRS).to_file(folder / "fields.shp")


def legend(classes: int) -> dict[str, Any]:
    """Return the table [legend] of a recipe with classes 1 to `classes`."""
    return {"classes": [{"code": code, "name": f"class {code}"} for code in range(1, classes + 1)]}
