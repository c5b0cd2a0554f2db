"""Page of ``bocage check``: findings, a picture of each source with the polygon outlines, and a timeline of clear dates."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bocage.errors import BocageError
from bocage.grid import Grid
from bocage.preflight import Preflight
from bocage.preflight.dates import Clearness
from bocage.report.figures import as_data
from bocage.report.imagery import DATES, composite, reduced
from bocage.report.render import render
from bocage.samples import Pixels
from bocage.sources import Readable
from bocage.words import sentence, words_of

WIDTH = 420
"""Longer side of a picture, in pixels."""
TALLEST = 2.0
"""Largest height of a picture over the usual width."""


def write_page(seen: Preflight, path: Path) -> Path:
    """Write the page to `path` atomically, in the language of the recipe's report; return the path."""
    language = seen.language
    grid = (
        reduced(seen.grid, WIDTH)
        if seen.grid is not None and seen.grid.crs.proj.is_geographic | seen.grid.crs.proj.is_projected
        else None
    )
    context = {
        "name": seen.name,
        "grid": _grid(seen.grid, language) if seen.grid else words_of(language)["check_no_grid"],
        "findings": [finding.as_dict(language) for finding in seen.findings],
        "counts": {kind: sum(f.severity == kind for f in seen.findings) for kind in ("error", "warning", "note")},
        "pictures": [_picture(name, source, grid, seen) for name, source in seen.sources.items()] if grid else [],
        "timeline": _timeline(seen.clear, words_of(language)) if seen.clear else None,
    }
    return render("preflight.html", language, path, context)


def _grid(grid: Grid, language: str) -> str:
    height, width = grid.shape
    return sentence("grid_size", language, height=height, width=width, gsd=grid.metres[0], crs=grid.crs_name)


def _picture(name: str, source: Readable, grid: Grid, seen: Preflight) -> dict[str, str]:
    try:
        shown, bands = composite(source, grid)
    except BocageError as error:
        return {"name": name, "picture": "", "text": str(error)}
    tall = min(1.0, TALLEST * grid.shape[1] / grid.shape[0])  # a strip from north to south is no picture of ten metres
    figure = Figure(figsize=(5.2 * tall, 5.2 * tall * grid.shape[0] / grid.shape[1] + 0.2))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(shown, interpolation="nearest")
    axes.set_axis_off()
    if seen.pixels is not None and seen.grid is not None and source.ids is None:
        _outline(axes, seen.pixels, seen.grid.shape, grid)
    dates = len(source.times)
    text = ", ".join(bands)
    if dates > 1:
        text = sentence("bands_median", seen.language, bands=text, n=min(dates, DATES), total=dates)
    return {"name": name, "picture": as_data(figure), "text": text}


def _outline(axes: Any, pixels: Pixels, shape: tuple[int, int], grid: Grid) -> None:
    """Draw the outlines of the polygons on the map pixels, subsampled to at most 900 a side."""
    height, width = (min(900, n) for n in shape)
    number = np.full((height, width), -1, np.int64)
    rows, columns = pixels.row.astype(np.int64) * height // shape[0], pixels.column.astype(np.int64) * width // shape[1]
    number[rows, columns] = pixels.polygon
    extent = (-0.5, grid.shape[1] - 0.5, grid.shape[0] - 0.5, -0.5)
    border = np.zeros(number.shape, bool)
    border[:-1] |= number[:-1] != number[1:]
    border[:, :-1] |= number[:, :-1] != number[:, 1:]
    layer = np.zeros((*number.shape, 4))
    layer[border] = (1, 1, 0, 0.9)
    axes.imshow(layer, extent=extent, interpolation="nearest")


def _timeline(clear: dict[str, Clearness], w: Mapping[str, str]) -> str:
    figure = Figure(figsize=(9.6, 0.7 + 0.55 * len(clear)))
    axes = figure.add_subplot()
    for k, clearness in enumerate(clear.values()):
        times: Any = clearness.times
        dots = axes.scatter(
            times, [k] * len(times), c=100 * clearness.share, vmin=0, vmax=100, cmap="viridis", s=42, edgecolors="#555",
            linewidths=0.4,
        )  # fmt: skip
    axes.set_yticks(range(len(clear)), list(clear))
    axes.set_ylim(len(clear) - 0.5, -0.5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.colorbar(dots, ax=axes, label=w["axis_clear"], fraction=0.03, pad=0.01)
    figure.autofmt_xdate()
    return as_data(figure)
