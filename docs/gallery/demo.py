"""Draw the figure of the README: true land cover of the demo beside its map. Run ``make demo`` first."""

from pathlib import Path

import rasterio
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bocage.mapping.writers.cog import read_reduced
from bocage.simulate import LEGEND

RUN = Path("runs/demo")


def coloured(path: Path) -> object:
    """Return the first band as rows of RGBA colours, from the colour table of the raster."""
    with rasterio.open(path) as dataset:
        table = dataset.colormap(1)
    codes = read_reduced(path, 1402)
    return [[table[int(code)] for code in row] for row in codes]


figure = Figure(figsize=(12, 5.4), layout="constrained")
left, right = figure.subplots(1, 2)
for axes, path, title in (
    (left, RUN / "landscape/truth.tif", "truth, 1.5 m"),
    (right, RUN / "run/map/classes.tif", "map, 10 m"),
):
    axes.imshow(coloured(path), interpolation="nearest")
    axes.set(title=title, xticks=[], yticks=[])
handles = [Patch(color=color, label=name) for name, color in zip(LEGEND.names, LEGEND.colors, strict=True)]
figure.legend(handles=handles, loc="outside lower center", ncols=7, frameon=False, fontsize=9)
figure.savefig("docs/gallery/demo.png", dpi=90)
