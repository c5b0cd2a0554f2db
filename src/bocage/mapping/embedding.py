"""Features of a network at every pixel of the map → a Cloud-Optimised GeoTIFF, which can be a source of other recipes.

The network computes in the cells of the lattice of a map, so the values do not depend on the size of the windows.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bocage.disk import write_text
from bocage.errors import MappingError
from bocage.grid import Window
from bocage.machine import versions
from bocage.mapping.lattice import Lattice
from bocage.mapping.predict import Forward, Inputs, batch_of, over_cell, read_inputs
from bocage.mapping.writers import WRITERS
from bocage.mapping.writers.base import MapBand
from bocage.progress import QUIET, Progress
from bocage.samples.unlabelled import PLACES, SIDE, scatter
from bocage.scene import Scene
from bocage.sources.edges import no_edges_after
from bocage.training import Trained

NODATA, LARGEST = -32768, 32767
"""Stored nodata value, and largest stored value."""
PROBES = 4096
"""Number of pixels from which the scale of each band is measured."""
BEYOND = 1.5
"""Largest value that can be stored, in units of the largest one at the probes. Values beyond it are stored as this one."""
TILE = 1024
"""Side of the windows in map pixels."""


@dataclass(frozen=True)
class Features:
    """Features of a window."""

    values: NDArray[np.float32]
    """Features (band, height, width)."""
    valid: NDArray[np.bool_]
    """Whether all sources (or one, if the network tolerates missing sources) have a valid date (height, width)."""


def features_at(trained: Trained, scene: Scene, window: Window, how: Forward) -> Features:
    """Return the fused features of a network at a window of the map, 0 where it is not valid.

    A window of whole cells (``how.lattice``) has the values that any other window of whole cells gives.
    """
    inputs = read_inputs(trained, scene, window)
    grown = inputs.window
    values = np.zeros((trained.model.width, grown.height, grown.width), np.float32)
    for cell in how.cells(grown):
        here = cell.clip_to(grown)
        ys, xs = here.within(grown)
        if inputs.valid[ys, xs].any():
            values[:, ys, xs] = _fused(trained, inputs, cell, how)[(slice(None), *here.within(cell))]
    inner = window.within(grown)
    values = values[(slice(None), *inner)]
    valid = inputs.valid[inner] & np.isfinite(values).all(0)
    return Features(np.where(valid, values, np.float32(0)), valid)


@torch.inference_mode()
def _fused(trained: Trained, inputs: Inputs, cell: Window, how: Forward) -> NDArray[np.float32]:
    """Return the features (band, height, width) of a cell."""
    found = trained.model.fused(batch_of(trained, inputs, cell, how))[0].float().cpu().numpy()
    return over_cell(found, cell)


def write_features(
    trained: Trained, scene: Scene, path: Path, device: torch.device, progress: Progress = QUIET
) -> tuple[MapBand, ...]:
    """Write the features of a network over a scene to a COG of 16-bit integers, and a description beside it (``.json``).

    The files appear when they are complete, the description last: without it, the features are those of another network, or of
    an interrupted command.

    Returns
    -------
    The bands, each with its scale.

    Raises
    ------
    MappingError
        The scene is a table, has no valid pixel at the probes, or the file cannot be written.
    """
    if scene.ids is not None:
        raise MappingError("The sources are tables, and features are written as a raster. Give a recipe of imagery.")
    trained.model.to(device).eval()
    lattice = Lattice.of(trained, scene, TILE)
    how = Forward(device, lattice)
    bands = _bands(trained, scene, Forward(device))
    scale = np.array([band.scale for band in bands], np.float32)[:, None, None]
    output = WRITERS.get("cog").open(path, scene.grid, bands, trained.legend)
    windows = lattice.windows(scene, trained.footprints)
    try:
        with no_edges_after():
            for done, window in enumerate(windows):
                progress.step("writing features", done, len(windows))
                found = features_at(trained, scene, window, how)
                stored = np.clip(np.rint(found.values / scale), -LARGEST, LARGEST)
                output.put(window, np.where(found.valid, stored, NODATA).astype(np.int16))
        path.with_suffix(".json").unlink(missing_ok=True)
        output.close()
    except BaseException:
        output.discard()
        raise
    progress.step("writing features", len(windows), len(windows))
    write_text(path.with_suffix(".json"), json.dumps(_described(trained, bands), indent=1))
    return bands


def _bands(trained: Trained, scene: Scene, how: Forward) -> tuple[MapBand, ...]:
    """Return the bands with the scale of the values at pixels drawn over the scene; the draw has a fixed seed."""
    pixels = scatter(scene, PROBES, 0, places=PLACES)
    largest = np.zeros(trained.model.width, np.float32)
    seen = False
    for number in np.unique(pixels.polygon):
        first = int(np.argmax(pixels.polygon == number))
        height, width = (min(SIDE, n) for n in scene.grid.shape)
        window = Window(int(pixels.row[first]), int(pixels.column[first]), height, width)
        found = features_at(trained, scene, window, how)
        seen |= bool(found.valid.any())
        largest = np.maximum(largest, np.abs(found.values).max((1, 2)))
    if not seen:
        raise MappingError("No pixel drawn from the scene is valid. Check nodata and the list of clear values.")
    whole = float(largest.max()) or 1.0
    scales = BEYOND * np.where(largest > 0, largest, whole) / LARGEST  # a band may be 0 at the probes and not elsewhere
    return tuple(MapBand(f"f{i:03d}", "int16", NODATA, scale=float(scale)) for i, scale in enumerate(scales, start=1))


def _described(trained: Trained, bands: tuple[MapBand, ...]) -> dict[str, Any]:
    return {
        "network": trained.title,
        "fingerprint": trained.fingerprint,
        "sources": list(trained.footprints),
        "bands": {band.name: band.scale for band in bands},
        "nodata": NODATA,
        "versions": versions(),
    }
