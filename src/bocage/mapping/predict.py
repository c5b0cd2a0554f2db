"""Class probabilities of a window of the map: read each source with its halo, run the network densely, crop to the window.

The network computes a window in cells of one shape, on a lattice that depends on the scene only. The input of the network
for a pixel and the shape of its computation therefore do not depend on the size of the window or on other windows. The map is
bitwise identical for all tile sizes, numbers of workers and orders of windows.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bocage.grid import Ratio, Window
from bocage.mapping.lattice import Lattice
from bocage.mapping.settings import Precision
from bocage.models import OUTPUTS, Batch, Delineating, Footprint, moved, window_positions
from bocage.progress import QUIET, Progress
from bocage.samples import Pixels
from bocage.scene import Block, Scene
from bocage.training import Temperature, Trained, features_of

TILE = 256
"""Maximum side of the windows around test polygons, in map pixels."""


@dataclass(frozen=True)
class Inputs:
    """Input data of a window."""

    window: Window
    """Window of the map. It starts at a multiple of every coarser ratio, so it may be larger than the requested window."""
    blocks: Mapping[str, Block]
    """Source → its pixels, halo included."""
    days: Mapping[str, NDArray[np.int32]]
    """Source → days of its dates since 1970-01-01."""
    valid: NDArray[np.bool_]
    """Whether all sources (or one, if the network tolerates missing sources) have a valid date (height, width)."""
    clear: Mapping[str, NDArray[np.uint16]]
    """Source → number of clear dates before gap-filling, per map pixel (height, width); the maximum over finer pixels."""
    seen: Mapping[str, NDArray[np.bool_]]
    """Source → whether it has a valid date (height, width)."""


@dataclass(frozen=True)
class Prediction:
    """Result of a window."""

    probabilities: NDArray[np.float32]
    """Class probabilities (K, height, width), 0 to 1."""
    valid: NDArray[np.bool_]
    """Whether all sources (or one, if the network tolerates missing sources) have a valid date (height, width)."""
    novelty: NDArray[np.float32] | None = None
    """Distance from the training data (height, width), 1 at the limit of the validation polygons; None if not computed."""
    clear: Mapping[str, NDArray[np.uint16]] = field(default_factory=dict)
    """Source → number of clear dates before gap-filling (height, width)."""
    parcels: NDArray[np.float32] | None = None
    """Extent, boundary and distance of parcels (3, height, width), 0 to 1; None if the network does not delineate."""
    temperature: NDArray[np.float32] | None = None
    """Temperature of the logits (height, width); None if not requested."""


@dataclass(frozen=True)
class Forward:
    """Settings for running the network."""

    device: torch.device
    lattice: Lattice | None = None
    """Lattice in whose cells a window is computed; None: the window is computed in one piece."""
    novelty: bool = False
    """Whether to compute the novelty, the distance of each pixel from the training data."""
    precision: Precision = "float32"
    go_on: Callable[[], None] = lambda: None
    """Called before each cell; it raises an exception to stop the computation."""
    temperature: bool = False
    """Whether to return the temperature of each pixel."""

    def cells(self, window: Window) -> Iterator[Window]:
        """Yield the parts in which a window is computed: cells of the lattice, or the window itself."""
        return self.lattice.cells(window) if self.lattice else iter((window,))


@dataclass(frozen=True)
class Classified:
    """Result at N pixels of the map."""

    probabilities: NDArray[np.float32]
    """Calibrated class probabilities (N, K), 0 to 1."""
    valid: NDArray[np.bool_]
    """Whether all sources (or one, if the network tolerates missing sources) have a valid date (N,)."""
    novelty: NDArray[np.float32]
    """Distance from the training data (N,), 1 at the limit of the validation polygons; NaN if not computed."""
    temperature: Temperature = 1.0
    """Temperature of the logits of all pixels, or of each (N,)."""

    @property
    def outside(self) -> float | None:
        """Share of the valid pixels that are outside the training domain (novelty above 1); None if not computed."""
        known = self.novelty[self.valid & ~np.isnan(self.novelty)]
        return float((known > 1).mean()) if len(known) else None


def classify_at(
    trained: Trained,
    scene: Scene,
    pixels: Pixels,
    device: torch.device,
) -> NDArray[np.float32]:
    """Return the calibrated probabilities (N, K) of pixels of the map, computed in dense windows around each polygon.

    For a network with context, this is much faster than classifying the pixels patch by patch, with the same result.
    """
    return predict_at(trained, scene, pixels, Forward(device)).probabilities


def predict_at(
    trained: Trained, scene: Scene, pixels: Pixels, how: Forward, progress: Progress = QUIET, task: str = "classifying"
) -> Classified:
    """Classify pixels of the map in dense windows around each polygon, or in parts of a table."""
    how = replace(how, temperature=not trained.one_temperature)
    trained.model.to(how.device).eval()
    row, column = pixels.row, pixels.column
    found = np.zeros((len(pixels), len(trained.legend.classes)), np.float32)
    valid, novelty = np.zeros(len(pixels), bool), np.full(len(pixels), np.nan, np.float32)
    temperature = np.full(len(pixels), trained.calibration.temperature)
    alone = scene.ids is None and not _reads_far(trained)  # each row of a table is a polygon
    polygon = pixels.polygon if alone else np.zeros_like(pixels.polygon)
    groups = np.stack([polygon, row // TILE, column // TILE], 1)
    which = np.unique(groups, axis=0, return_inverse=True)[1].ravel()
    order = np.argsort(which, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(which[order])) + 1) if len(order) else []
    windows = [_around(row[members], column[members]) for members in parts]
    for done, (members, window, inputs) in enumerate(
        zip(parts, windows, _read_ahead(trained, scene, windows), strict=True), start=1
    ):
        rows, columns = row[members] - window.y, column[members] - window.x
        made = infer(trained, inputs, window, how)
        found[members] = made.probabilities[:, rows, columns].T
        valid[members] = made.valid[rows, columns]
        if made.novelty is not None:
            novelty[members] = made.novelty[rows, columns]
        if made.temperature is not None:
            temperature[members] = made.temperature[rows, columns]
        progress.step(task, done, len(parts))
    return Classified(found, valid, novelty, temperature if how.temperature else trained.calibration.temperature)


def _reads_far(trained: Trained) -> bool:
    """Return whether the halo of a polygon is larger than most polygons: windows of several polygons are then cheaper."""
    return any(f.size > TILE // 4 * trained.inputs[name].ratio.finer for name, f in trained.footprints.items())


def _around(row: NDArray[np.int32], column: NDArray[np.int32]) -> Window:
    """Return the smallest window that contains some pixels."""
    y, x = int(row.min()), int(column.min())
    return Window(y, x, int(row.max()) - y + 1, int(column.max()) - x + 1)


def _read_ahead(trained: Trained, scene: Scene, windows: Sequence[Window]) -> Iterator[Inputs]:
    """Yield the inputs of windows in their order; the next ones are read while the caller classifies."""
    with ThreadPoolExecutor(1, "bocage-read") as reader:
        coming: deque[Future[Inputs]] = deque()
        for window in windows:
            coming.append(reader.submit(read_inputs, trained, scene, window))
            if len(coming) > 1:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def predict(
    trained: Trained, scene: Scene, window: Window, device: torch.device, with_novelty: bool = False
) -> Prediction:
    """Classify one window of the map in one piece."""
    trained.model.to(device).eval()
    return infer(trained, read_inputs(trained, scene, window), window, Forward(device, novelty=with_novelty))


@torch.inference_mode()
def attention_at(trained: Trained, scene: Scene, row: int, column: int) -> dict[str, NDArray[np.float32]]:
    """Return series → attention weight of each date (T,) at a pixel of the map; empty if the network has no attention."""
    if not trained.model.abilities.attention:
        return {}
    batch, pixel = {}, Window(row, column, 1, 1)
    for name, footprint in trained.footprints.items():
        cube = scene.cubes[name]
        block = cube.read(footprint.window(pixel, cube.ratio))
        batch[name] = trained.normalisation.tensor(name, block.values[None], block.valid[None], cube.clock)
    return {name: weights[0].cpu().numpy() for name, weights in trained.model.attention(batch).items()}


def read_inputs(trained: Trained, scene: Scene, window: Window) -> Inputs:
    """Read the input data of the network for a window.

    Raises
    ------
    SourceError
        A file cannot be read.
    """
    grown = window_positions(window, trained.inputs, trained.model.step)
    seen, blocks, clear = {}, {}, {}
    for name, footprint in trained.footprints.items():
        cube = scene.cubes[name]
        block = blocks[name] = cube.read(footprint.window(grown, cube.ratio))
        at_map = _AtMap(footprint.before, grown, cube.ratio)
        seen[name] = at_map.most(np.asarray(block.valid.any(0)))
        clear[name] = at_map.most(block.clear)
    days = {name: scene.cubes[name].clock for name in blocks}
    enough = np.any if trained.any_source else np.all
    return Inputs(grown, blocks, days, enough(list(seen.values()), axis=0), clear, seen)


def infer(trained: Trained, inputs: Inputs, window: Window, how: Forward) -> Prediction:
    """Run the network on the result of :func:`read_inputs`, and return the prediction of `window`."""
    grown, classes = inputs.window, len(trained.legend.classes)
    outlines = len(OUTPUTS) if trained.delineates else 0
    layers = np.zeros((classes + outlines + how.temperature, grown.height, grown.width), np.float32)
    novelty = np.zeros((grown.height, grown.width), np.float32) if how.novelty else None
    for cell in how.cells(grown):
        here = cell.clip_to(grown)
        ys, xs = here.within(grown)
        if not inputs.valid[ys, xs].any():
            continue  # no valid pixel in the cell
        how.go_on()
        found, far = _forward(trained, inputs, cell, how)
        part = here.within(cell)
        layers[:, ys, xs] = found[(slice(None), *part)]
        if novelty is not None and far is not None:
            novelty[ys, xs] = far[part]
    inner = window.within(grown)
    probabilities, parcels = (layers[(some, *inner)] for some in (slice(classes), slice(classes, classes + outlines)))
    return Prediction(
        np.ascontiguousarray(probabilities),
        inputs.valid[inner],
        None if novelty is None else novelty[inner],
        {name: counts[inner] for name, counts in inputs.clear.items()},
        parcels if outlines else None,
        layers[(-1, *inner)] if how.temperature else None,
    )


def over_cell(found: NDArray[np.float32], cell: Window) -> NDArray[np.float32]:
    """Return the outputs of a network (K, y, x) over a whole cell (K, height, width).

    A window of one footprint gives 1 x 1 outputs, even if it covers a whole coarse pixel: they are repeated over the cell.
    """
    missing = [(0, max(0, n - p)) for n, p in zip((cell.height, cell.width), found.shape[1:], strict=True)]
    return np.asarray(np.pad(found, [(0, 0), *missing], mode="edge")[:, : cell.height, : cell.width])


@torch.inference_mode()
def _forward(
    trained: Trained, inputs: Inputs, cell: Window, how: Forward
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Return the probabilities (K, height, width) of a cell and its novelty (height, width), or None if not requested.

    The outputs for parcels, if the network has them, follow the probabilities, and the temperature, if requested, follows both.
    """
    batch, more = batch_of(trained, inputs, cell, how), []
    with torch.autocast(how.device.type, torch.bfloat16, enabled=how.precision == "bfloat16"):
        if isinstance(trained.model, Delineating):
            logits, outlines = trained.model.both(batch)
            more.append(outlines[0])
        else:
            logits = trained.model(batch)
    answer = torch.softmax(trained.scaled(logits.float(), batch)[0], 0)
    more += [trained.temperature(logits.float(), batch)[0]] if how.temperature else []
    found = (torch.cat([answer, *more]) if more else answer).cpu().numpy()
    found = over_cell(found, cell)
    if not how.novelty or trained.domain is None:
        return found, None
    shape = (cell.height, cell.width)
    features = features_of(batch, trained.inputs, trained.footprints, shape, trained.any_source).cpu()
    return found, trained.domain.novelty(features).reshape(shape).numpy()


def batch_of(trained: Trained, inputs: Inputs, cell: Window, how: Forward) -> Batch:
    """Return the scaled input of the network for a cell, halo included, on the device."""
    parts = {}
    for name, block in inputs.blocks.items():
        values, valid = _crop(block, trained.footprints[name], trained.inputs[name].ratio, inputs.window, cell)
        parts[name] = trained.normalisation.tensor(name, values[None], valid[None], inputs.days[name])
    return moved(parts, how.device)


def _crop(
    block: Block, footprint: Footprint, ratio: Ratio, window: Window, cell: Window
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the pixels of a cell, halo included, from those of `window`; pixels outside `window` are not valid.

    They are a part of the block without a copy if all are inside `window`.
    """
    have, want = footprint.window(window, ratio), footprint.window(cell, ratio)
    there = want.clip_to(have)
    source, target = there.within(have), there.within(want)
    if there == want:
        return block.values[(..., *source)], block.valid[(..., *source)]
    shape = (want.height, want.width)
    values = np.zeros((*block.values.shape[:2], *shape), np.float32)
    valid = np.zeros((block.valid.shape[0], *shape), bool)
    values[(..., *target)], valid[(..., *target)] = block.values[(..., *source)], block.valid[(..., *source)]
    return values, valid


@dataclass(frozen=True)
class _AtMap:
    """Resamples a layer of a source, halo included, to the map pixels of a window."""

    before: int
    window: Window
    ratio: Ratio

    def most(self, layer: NDArray[Any]) -> NDArray[Any]:
        """Layer (y, x) of the source → (height, width): the maximum of finer pixels, or the value of the coarser pixel."""
        f, c, height, width = self.ratio.finer, self.ratio.coarser, self.window.height, self.window.width
        if c > 1:
            rows, columns = (np.arange(n) * f // c + self.before for n in (height, width))
            return np.asarray(layer[np.ix_(rows, columns)])
        inner = layer[self.before : self.before + height * f, self.before : self.before + width * f]
        rows = inner.reshape(height, f, width * f).max(1)
        return np.asarray(reduce(np.maximum, (rows[:, x::f] for x in range(f))))
