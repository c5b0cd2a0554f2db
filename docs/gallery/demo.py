"""Draw the figure of the README: true land cover of the demo, its map and the confidence. Run ``make demo`` first."""

import json
from pathlib import Path

import numpy as np
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


score = json.loads((RUN / "run/score.json").read_text(encoding="utf-8"))
right = score["truth"]["overall_accuracy"]["mean"]
figure = Figure(figsize=(15, 5.2), layout="constrained")
truth, classes, confidence = figure.subplots(1, 3)
truth.imshow(coloured(RUN / "landscape/truth.tif"), interpolation="nearest")
truth.set_title("true land cover, 1.5 m")
classes.imshow(coloured(RUN / "run/map/classes.tif"), interpolation="nearest")
classes.set_title(f"map, 10 m: {right:.0%} of the whole truth")
values = read_reduced(RUN / "run/map/confidence.tif", 1402).astype(np.float32)
shown = confidence.imshow(values, cmap="viridis", vmin=0, vmax=100, interpolation="nearest")
confidence.set_title("confidence, %")
figure.colorbar(shown, ax=confidence, shrink=0.8)
for axes in (truth, classes, confidence):
    axes.set(xticks=[], yticks=[])
handles = [Patch(color=color, label=name) for name, color in zip(LEGEND.names, LEGEND.colors, strict=True)]
figure.legend(handles=handles, loc="outside lower center", ncols=7, frameon=False, fontsize=9)
figure.savefig("docs/gallery/demo.png", dpi=90)
