"""Fake imagery whose pixel values depend on their position, so that a test detects any misplaced pixel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry import box

from bocage.models import Footprint, InputSpec, SourceTensor

CRS = "EPSG:32740"
CORNER = (338_000.0, 7_668_000.0)


def fake_pixels(sensor: int, dates: int, bands: int, height: int, width: int) -> NDArray[np.float32]:
    """Return pixels (date, band, y, x): integers above 0, a function of sensor, date, band, y and x without symmetry."""
    t, c, y, x = np.meshgrid(*(np.arange(n) for n in (dates, bands, height, width)), indexing="ij")
    return (1 + (7 * sensor + 1009 * t + 101 * c + 13 * y + 29 * x + (y * x) % 11) % 9973).astype(np.float32)


@dataclass(frozen=True)
class Place:
    """Where a raster lies."""

    resolution: float = 10.0
    """Pixel size in CRS units."""
    corner: tuple[float, float] = CORNER
    """West and north in CRS units."""
    crs: str | None = CRS


def write_raster(
    path: Path,
    pixels: NDArray[Any],
    place: Place = Place(),
    nodata: float | None = None,
    descriptions: Sequence[str] = (),
) -> Path:
    """Write (band, y, x) as a GeoTIFF and return its path."""
    resolution, corner, crs = place.resolution, place.corner, place.crs
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=pixels.shape[1],
        width=pixels.shape[2],
        count=len(pixels),
        dtype=pixels.dtype,
        crs=crs,
        transform=Affine(resolution, 0, corner[0], 0, -resolution, corner[1]),
        nodata=nodata,
    ) as dataset:
        dataset.write(pixels)
        if descriptions:
            dataset.descriptions = list(descriptions)
    return path


def random_batch(
    inputs: Mapping[str, InputSpec],
    footprints: Mapping[str, Footprint],
    generator: torch.Generator,
    size: int = 2,
    positions: int = 1,
    masked: float = 0.2,
) -> dict[str, SourceTensor]:
    """Return random tensors for a network: `positions` map pixels per side, a share `masked` of the dates masked.

    Each pixel keeps at least one valid date.
    """
    batch = {}
    for name, footprint in footprints.items():
        spec = inputs[name]
        inner = -(-positions * spec.ratio.finer // spec.ratio.coarser)
        side = inner - spec.ratio.finer + footprint.size
        shape = (size, spec.dates, len(spec.bands), side, side)
        values = torch.randn(shape, generator=generator)
        valid = torch.rand((size, spec.dates, side, side), generator=generator) >= masked
        valid[:, 0] |= ~valid.any(1)
        days = (torch.arange(spec.dates, dtype=torch.int32) * 10 + 19000).repeat(size, 1)
        batch[name] = SourceTensor(values, valid, days)
    return batch


CLASSES = ("maize", "meadow", "water")


def tiny_landscape(folder: Path, size: int = 48, dates: int = 6, polygons: int = 5) -> Path:
    """Write a tiny series, a tiny PAN + MS scene and polygons of separable classes; return the folder.

    Files: ``s2/{red,nir}.tif`` and ``s2/quality.tif`` (10 m, one band per date), ``pan.tif`` and ``truth.tif`` (10 m),
    ``ms.tif`` (40 m, size rounded up), ``reference.gpkg`` (fields code, name). Classes are vertical stripes. Clouds cover a
    corner of one date.
    """
    generator = np.random.default_rng(7)
    width = size + 5  # no symmetry
    stripe = np.repeat(np.arange(3), -(-width // 3))[:width]
    truth = np.broadcast_to(stripe, (size, width))
    days = [f"2021-{m:02d}-11" for m in range(2, 2 + dates)]
    season = np.stack([np.array([[0.1, 0.5, 0.05], [0.6, 0.5, 0.05]])[t % 2][truth] for t in range(dates)])
    for band, gain in (("red", 0.2), ("nir", 1.0)):
        values = (gain * season + 0.05 + 0.01 * generator.standard_normal(season.shape)) * 10000
        write_raster(folder / f"s2/{band}.tif", values.clip(1).astype(np.uint16), nodata=0, descriptions=days)
    quality = np.full(season.shape, 4, np.uint8)
    quality[1, :9, :14] = 9
    write_raster(folder / "s2/quality.tif", quality, descriptions=days)
    pan = (np.array([900, 1500, 300])[truth] + 20 * generator.standard_normal(truth.shape)).astype(np.uint16)
    write_raster(folder / "pan.tif", pan[None])
    coarse = np.stack([pan[::4, ::4] * k for k in (1, 2)]).astype(np.uint16)
    write_raster(folder / "ms.tif", coarse, Place(40.0))
    write_raster(folder / "truth.tif", (truth + 1).astype(np.uint8)[None], nodata=0)
    _write_stripes(folder / "reference.gpkg", size, width, polygons)
    return folder


def _write_stripes(path: Path, size: int, width: int, polygons: int) -> None:
    """Write the polygons of each stripe: one column of polygons of 4 x 4 pixels."""
    step, rows = -(-width // 3), []
    for k, name in enumerate(CLASSES):
        for i in range(polygons):
            west = CORNER[0] + 10 * (k * step + 5)
            north = CORNER[1] - 10 * (2 + i * (size - 6) // polygons)
            rows.append({"code": k + 1, "name": name, "geometry": box(west, north - 40, west + 40, north)})
    gpd.GeoDataFrame(rows, crs=CRS).to_file(path, engine="pyogrio")
