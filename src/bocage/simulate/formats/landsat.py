"""Landsat-like series at 30 m, averaged from the Sentinel-2-like series, in the USGS format Collection 2 Level 2."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from bocage.grid import Grid
from bocage.progress import Progress
from bocage.simulate.formats.plain import (
    Plain,
    grid_of,
    halved,
    moments,
    opened,
    repeated,
    write_raster,
    xml,
)
from bocage.simulate.sensors import CLOUD, S2_20M, SHADOW

SENSOR = "s2"
NUMBERS = {"blue": 2, "green": 3, "red": 4, "nir": 5, "swir16": 6, "swir22": 7}
SCALE, OFFSET = 2.75e-05, -0.2
CLEAR = 1 << 6
QA = {CLOUD: 1 << 3, SHADOW: 1 << 4}
"""Quality value to bit of QA_PIXEL."""


def section() -> str:
    """Return the recipe section of the sources."""
    return '[sources.s2]\nsensor = "landsat_c2l2"\npath = "s2"\n'


def write(plain: Path, folder: Path, progress: Progress) -> None:
    """Write one product per date."""
    fine, when = grid_of(plain / "blue.tif"), moments(plain / "blue.tif")
    shape = fine.shape[0] // 3, fine.shape[1] // 3
    grid = Grid.of(fine.crs, fine.transform @ Affine.scale(3), shape)
    with opened(plain) as rasters:
        for date, moment in enumerate(when):
            _product(rasters, date, moment, fine, grid, folder)
            progress.step("writing Landsat products", date + 1, len(when))


def _thirds(layer: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Return blocks of 3 x 3 pixels, (y, 3, x, 3)."""
    return layer[: shape[0] * 3, : shape[1] * 3].reshape(shape[0], 3, shape[1], 3)


def _product(rasters: Plain, date: int, moment: datetime, fine: Grid, grid: Grid, folder: Path) -> None:
    name = f"LC08_L2SP_153074_{moment:%Y%m%d}_{moment:%Y%m%d}_02_T1"
    for band, number in NUMBERS.items():
        window = halved(fine.window) if band in S2_20M else fine.window
        layer = rasters.layer(band, date, window) / 10000
        layer = _thirds(repeated(layer) if band in S2_20M else layer, grid.shape).mean((1, 3))
        stored = np.clip(np.rint((layer - OFFSET) / SCALE), 1, 65535).astype(np.uint16)
        write_raster(folder / name / f"{name}_SR_B{number}.TIF", stored[None], grid, 0)
    classes = _thirds(repeated(rasters.layer("quality", date, halved(fine.window))), grid.shape)
    qa = np.full(grid.shape, CLEAR, np.uint16)
    for value in (SHADOW, CLOUD):
        qa[(classes == value).any((1, 3))] = QA[value]
    write_raster(folder / name / f"{name}_QA_PIXEL.TIF", qa[None], grid, 1)
    factors = "".join(
        f"<REFLECTANCE_MULT_BAND_{n}>{SCALE}</REFLECTANCE_MULT_BAND_{n}><REFLECTANCE_ADD_BAND_{n}>{OFFSET}</REFLECTANCE_ADD_BAND_{n}>"
        for n in NUMBERS.values()
    )
    text = xml(f"""<LANDSAT_METADATA_FILE><PRODUCT_CONTENTS><LANDSAT_PRODUCT_ID>{name}</LANDSAT_PRODUCT_ID>
<PROCESSING_LEVEL>L2SP</PROCESSING_LEVEL><COLLECTION_NUMBER>02</COLLECTION_NUMBER></PRODUCT_CONTENTS>
<IMAGE_ATTRIBUTES><SPACECRAFT_ID>LANDSAT_8</SPACECRAFT_ID><DATE_ACQUIRED>{moment:%Y-%m-%d}</DATE_ACQUIRED>
<SCENE_CENTER_TIME>{moment:%H:%M:%S}.1234560Z</SCENE_CENTER_TIME></IMAGE_ATTRIBUTES>
<PROJECTION_ATTRIBUTES><REFLECTIVE_LINES>{grid.shape[0]}</REFLECTIVE_LINES><REFLECTIVE_SAMPLES>{grid.shape[1]}</REFLECTIVE_SAMPLES></PROJECTION_ATTRIBUTES>
<LEVEL2_SURFACE_REFLECTANCE_PARAMETERS>{factors}</LEVEL2_SURFACE_REFLECTANCE_PARAMETERS></LANDSAT_METADATA_FILE>
""")
    (folder / name / f"{name}_MTL.xml").write_text(text, encoding="utf-8")
