"""Draw the figure of the page about fusion: two of five simulated maps with errors, their vote, and its confidence."""

import tempfile
from pathlib import Path

import numpy as np
from affine import Affine
from matplotlib.figure import Figure

from bocage.grid import Grid
from bocage.jobs.fuse import fuse
from bocage.layout import MapLayout
from bocage.mapping import WRITERS, AreaCount, MapBand, open_delivered
from bocage.mapping.delivery import Delivery
from bocage.simulate import LEGEND, World
from bocage.simulate.landscape import ground_at

SIDE, MAPS, WRONG = 150, 5, 0.25
GRID = Grid.of("EPSG:32740", Affine(10, 0, 338_000, 0, -10, 7_668_000), (SIDE, SIDE))
COLORS = np.zeros((max(LEGEND.codes) + 1, 3), np.uint8)
COLORS[list(LEGEND.codes)] = [LEGEND.rgb(k) for k in range(len(LEGEND.codes))]
column, row = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
truth = np.asarray(ground_at(World(), 338_005.0 + 10 * column, 7_667_995.0 - 10 * row).code)


def write(folder: Path, codes: np.ndarray) -> None:
    """Write a complete map."""
    layout, areas = MapLayout(folder), AreaCount(GRID, LEGEND)
    folder.mkdir()
    bands, files = {"classes": (MapBand("class", "uint8", 0, categorical=True),)}, {"classes": folder / "classes.tif"}
    output = WRITERS.get("cog").open(files["classes"], GRID, bands["classes"], LEGEND)
    output.put(GRID.window, codes[None].astype(np.uint8))
    output.close()
    areas.count(GRID.window, codes)
    Delivery(layout, GRID, LEGEND, bands, files, {}, None, 0.0).write(areas.areas())


maps = []
with tempfile.TemporaryDirectory() as name:
    for k in range(MAPS):
        rng = np.random.default_rng(k)
        maps.append(np.where(rng.random(truth.shape) < WRONG, rng.integers(1, 14, truth.shape), truth))
        write(Path(name) / str(k), maps[-1])
    fuse([Path(name) / str(k) for k in range(MAPS)], Path(name) / "fused")
    land = open_delivered(Path(name) / "fused")
    fused, votes = (land.read(layer, GRID, GRID.window, 0) for layer in ("classes", "confidence"))
figure = Figure(figsize=(14, 3.9), layout="constrained")
panels = figure.subplots(1, 4)
for axes, codes, title in zip(panels, (*maps[:2], fused), ("map 1", "map 2", f"vote of {MAPS} maps"), strict=False):
    axes.imshow(COLORS[codes], interpolation="nearest")
    axes.set(title=f"{title}: {100 * (codes == truth).mean():.0f} % right", xticks=[], yticks=[])
shown = panels[3].imshow(votes, cmap="viridis", vmin=0, vmax=100, interpolation="nearest")
panels[3].set(title="share of the votes, %", xticks=[], yticks=[])
figure.colorbar(shown, ax=panels[3], shrink=0.8)
figure.savefig("docs/gallery/fuse.png", dpi=90, bbox_inches="tight", pad_inches=0.1)
