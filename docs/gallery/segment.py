"""Draw the figure of the page about objects: a simulated image of 2 m with the borders of its objects, for three settings."""

import tempfile
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from matplotlib.figure import Figure

from bocage.grid import Grid
from bocage.objects import Segmenting
from bocage.objects.segment import segment
from bocage.objects.stack import Stack
from bocage.progress import QUIET
from bocage.scene import make_scene
from bocage.simulate import World
from bocage.simulate.landscape import ground_at
from bocage.simulate.signatures import reflectance
from bocage.sources import SENSORS, open_source

SIDE, PIXEL = 250, 2
BANDS = ("blue", "green", "red", "nir")
GRID = Grid.of("EPSG:32740", Affine(PIXEL, 0, 338_000, 0, -PIXEL, 7_668_000), (SIDE, SIDE))
SETTINGS = {"default settings": {}, "minimum = 200": {"minimum": 200}, "clusters = 60": {"clusters": 60}}


def write_image(path: Path) -> None:
    """Write the reflectance of the simulated land cover, with noise."""
    column, row = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    ground = ground_at(World(), 338_001.0 + PIXEL * column, 7_667_999.0 - PIXEL * row)
    noise = np.random.default_rng(0).normal(1, 0.03, (len(BANDS), SIDE, SIDE))
    values = np.clip(reflectance(World(), ground, 150, BANDS, True) * noise * 10_000, 1, 65_535)
    form = {"driver": "GTiff", "dtype": "uint16", "crs": "EPSG:32740", "transform": GRID.transform, "nodata": 0}
    with rasterio.open(path, "w", count=len(BANDS), height=SIDE, width=SIDE, **form) as dataset:
        dataset.write(values.astype(np.uint16))


figure = Figure(figsize=(13, 4.7), layout="constrained")
with tempfile.TemporaryDirectory() as name:
    write_image(Path(name) / "image.tif")
    image = SENSORS.get("image")
    source = open_source("image", image, image.Settings(path=Path(name) / "image.tif", bands=BANDS))
    stack = Stack.of(make_scene(GRID, [source], {}).cubes, (), ())
    values, _ = stack.read(GRID.window)
    shown = np.moveaxis(values[[3, 2, 1]], 0, -1)
    shown = np.clip((shown - np.percentile(shown, 1, (0, 1))) / np.ptp(np.percentile(shown, (1, 99), (0, 1)), 0), 0, 1)
    for axes, (title, settings) in zip(figure.subplots(1, 3), SETTINGS.items(), strict=True):
        found = segment(stack, Segmenting(**settings), Path(name) / title, "", QUIET)
        (_, ids), *_ = found.tiles
        edge = np.zeros(ids.shape, bool)
        edge[:, 1:] |= ids[:, 1:] != ids[:, :-1]
        edge[1:] |= ids[1:] != ids[:-1]
        axes.imshow(np.where(edge[..., None], [1.0, 1.0, 0.0], shown), interpolation="nearest")
        axes.set(title=f"{title}: {found.count} objects", xticks=[], yticks=[])
figure.savefig("docs/gallery/segment.png", dpi=90, bbox_inches="tight", pad_inches=0.1)
