"""Draw the figure of the page about finishing: a simulated map with errors, regularised, and as polygons."""

import tempfile
from pathlib import Path

import numpy as np
import shapely
from affine import Affine
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.path import Path as Outline

from bocage.finish import Finishing
from bocage.finish.polygons import polygons_of
from bocage.finish.regularise import regularise
from bocage.grid import Grid
from bocage.objects.connected import Codes
from bocage.objects.scratch import scratch
from bocage.progress import QUIET
from bocage.simulate import LEGEND, World
from bocage.simulate.landscape import ground_at

SIDE = 150
GRID = Grid.of("EPSG:32740", Affine(10, 0, 338_000, 0, -10, 7_668_000), (SIDE, SIDE))
COLORS = np.zeros((max(LEGEND.codes) + 1, 3), np.uint8)
COLORS[list(LEGEND.codes)] = [LEGEND.rgb(k) for k in range(len(LEGEND.codes))]


def speckled() -> np.ndarray:
    """Return the true land cover with one pixel in 12 replaced by a random class."""
    column, row = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    codes = np.asarray(ground_at(World(), 338_005.0 + 10 * column, 7_667_995.0 - 10 * row).code)
    rng = np.random.default_rng(0)
    return np.where(rng.random(codes.shape) < 1 / 12, rng.integers(1, 14, codes.shape), codes).astype(np.uint16)


def outlines(shape: shapely.Polygon) -> Outline:
    """Return a polygon with its holes as a path."""
    return Outline.make_compound_path(*(Outline(shapely.get_coordinates(ring)) for ring in shapely.get_rings(shape)))


codes, tidy, shapes, values = speckled(), np.zeros((SIDE, SIDE), np.uint16), [], []
with tempfile.TemporaryDirectory() as name, scratch(Path(name) / "scratch") as temporary:
    whole = Codes(GRID, lambda window: codes[window.slices], 64)
    for window, part in regularise(whole, LEGEND, Finishing(mmu=0.1), temporary, QUIET).tiles:
        tidy[window.slices] = part
    whole = Codes(GRID, lambda window: tidy[window.slices], 64)
    for batch in polygons_of(whole, temporary, 1.5, QUIET, lambda window, part: {"code": part, "n": part > 0}):
        shapes += batch.polygons.tolist()
        values += np.rint(batch.sums["code"] / batch.sums["n"]).astype(int).tolist()
figure = Figure(figsize=(13, 5), layout="constrained")
panels = figure.subplots(1, 3)
west, south, east, north = GRID.bounds
for axes, array, title in zip(panels, (codes, tidy), ("classes", "mmu = 0.1 ha"), strict=False):
    axes.imshow(COLORS[array], extent=(west, east, south, north), interpolation="nearest")
    axes.set(title=title, xticks=[], yticks=[])
faces = [tuple(COLORS[value] / 255) for value in values]
panels[2].add_collection(
    PathCollection([outlines(one) for one in shapes], facecolors=faces, edgecolors="k", linewidths=0.4)
)
panels[2].set(
    title="polygons, simplify = 1.5", xticks=[], yticks=[], xlim=(west, east), ylim=(south, north), aspect="equal"
)
handles = [Patch(color=color, label=name) for name, color in zip(LEGEND.names, LEGEND.colors, strict=True)]
figure.legend(handles=handles, loc="outside lower center", ncols=7, frameon=False, fontsize=9)
figure.savefig("docs/gallery/finish.png", dpi=90, bbox_inches="tight", pad_inches=0.1)
