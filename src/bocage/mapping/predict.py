"""Probabilities of a window of the map: read each source with its halo, run the network densely, cut to the window."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bocage.grid import Window
from bocage.models import batch_of, window_positions
from bocage.progress import QUIET, Progress
from bocage.scene import Scene
from bocage.training import Trained, features_of

TILE = 256
"""Most map pixels a side of the windows around test polygons."""


@dataclass(frozen=True)
class Prediction:
    """What is known of a window."""

    probabilities: NDArray[np.float32]
    """(K, height, width), 0 to 1."""
    valid: NDArray[np.bool_]
    """(height, width): every source that the network uses has at least one valid date there."""
    novelty: NDArray[np.float32] | None = None
    """(height, width): how far from the training, 1 where validation polygons end; None where it was not asked for."""


def classify_at(
    trained: Trained,
    scene: Scene,
    row: NDArray[Any],
    column: NDArray[Any],
    polygon: NDArray[Any],
    device: torch.device,
    progress: Progress = QUIET,
    task: str = "classifying",
) -> NDArray[np.float32]:
    """Return the calibrated probabilities (N, K) of pixels of the map, by dense windows around each polygon.

    For a network with context this costs a small share of classifying the pixels patch by patch, and gives the same.
    """
    found = np.zeros((len(row), len(trained.legend.classes)), np.float32)
    groups = np.stack([polygon, row // TILE, column // TILE], 1)
    which = np.unique(groups, axis=0, return_inverse=True)[1].ravel()
    order = np.argsort(which, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(which[order])) + 1) if len(order) else []
    for done, members in enumerate(parts, start=1):
        rows, columns = row[members], column[members]
        y, x = int(rows.min()), int(columns.min())
        window = Window(y, x, int(rows.max()) - y + 1, int(columns.max()) - x + 1)
        found[members] = predict(trained, scene, window, device).probabilities[:, rows - y, columns - x].T
        progress.step(task, done, len(parts))
    return found


@torch.inference_mode()
def predict(
    trained: Trained, scene: Scene, window: Window, device: torch.device, with_novelty: bool = False
) -> Prediction:
    """Classify one window of the map; with `with_novelty`, tell how far each pixel lies from the training, too."""
    grown = window_positions(window, trained.inputs)
    inner = window.within(grown)
    valid = np.ones((window.height, window.width), bool)
    parts = {}
    for name, footprint in trained.footprints.items():
        cube = scene.cubes[name]
        around = footprint.window(grown, cube.ratio)
        block = cube.read(around)
        valid &= _seen(block.valid, footprint.before, grown, cube.ratio.finer, cube.ratio.coarser)[inner]
        parts[name] = trained.normalisation.tensor(name, block.values[None], block.valid[None], cube.days)
    if not valid.any():
        nothing = np.zeros(valid.shape, np.float32) if with_novelty else None
        return Prediction(np.zeros((len(trained.legend.classes), *valid.shape), np.float32), valid, nothing)
    batch = batch_of(parts, device)
    logits = trained.model(batch).float() / trained.calibration.temperature
    probabilities = torch.softmax(logits[0], 0).cpu().numpy()
    # Exactly one footprint gives 1 x 1 even where it serves a whole coarse pixel: spread it over the window.
    missing = [(0, max(0, n - p)) for n, p in zip((grown.height, grown.width), probabilities.shape[1:], strict=True)]
    probabilities = np.pad(probabilities, [(0, 0), *missing], mode="edge")[:, : grown.height, : grown.width]
    novelty = None
    if with_novelty and trained.domain:
        shape = (grown.height, grown.width)
        features = features_of(batch, trained.inputs, trained.footprints, shape).cpu()
        novelty = trained.domain.novelty(features).reshape(shape).numpy()[inner]
    return Prediction(np.ascontiguousarray(probabilities[(slice(None), *inner)]), valid, novelty)


def _seen(valid: NDArray[np.bool_], before: int, window: Window, finer: int, coarser: int) -> NDArray[np.bool_]:
    """Whether any date is valid at each map pixel of `window`, from a source's mask with its halo."""
    ever = np.asarray(valid.any(0))
    rows = (np.arange(window.height) * finer // coarser) + before
    columns = (np.arange(window.width) * finer // coarser) + before
    seen = np.zeros((window.height, window.width), bool)
    for dy in range(finer):
        for dx in range(finer):
            seen |= ever[np.ix_(rows + dy, columns + dx)]
    return seen
