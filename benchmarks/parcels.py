"""Parcels from learnt outlines, compared with the segmentation of the imagery and with a watershed of its gradient.

    python -m benchmarks.parcels [large] [small]

Series of six dates with pixels of 10 m, and a whole reference of 41 (`large`) or 6.6 km² (`small`) for the training. A draw is another
simulated landscape. Training, choice and test are on three areas of a landscape, 40 km apart. A parcel is a connected area of one
field of classes 1 to 7, without hedges, tracks and rivers, of 12 pixels at least. U-Net has a quarter of the published width and
three poolings, and 1500 steps of four windows.

The settings of each method are those with the best F-measure in the area of the choice: numbers of clusters and minima of
``bocage segment`` on the quartiles of the dates, depth of minima and smoothing of the watershed, extent and core of the parcels. A
parcel is found if one object has an intersection over union with it above 0.5. "Precision" is the share of the objects that find a
parcel. All objects of learnt outlines count; of the two other methods, which do not know what a parcel is, only those that lie in
parcels by more than half. Over- and under-segmentation are 1 minus the share of the parcel in its largest object, and of this object
in the parcel (Persello & Bruzzone 2010, doi:10.1109/TGRS.2009.2029570), weighted by area.
"""

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from affine import Affine
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from benchmarks.frame import Results, command_line, spread, table
from benchmarks.measuring import scratch
from bocage.errors import SceneError
from bocage.grid import Grid, Ratio
from bocage.models import MODELS, Delineating, InputSpec, Positions, SourceTensor, build
from bocage.objects import Segmenting
from bocage.objects.parcels import Outlines, delineate
from bocage.objects.scratch import scratch as temporary
from bocage.objects.segment import Objects, segment
from bocage.objects.stack import Stack
from bocage.progress import QUIET
from bocage.samples import Pixels, depths
from bocage.scene import make_scene
from bocage.simulate import LEGEND, World
from bocage.simulate.landscape import ground_at
from bocage.simulate.signatures import reflectance
from bocage.sources import SENSORS, open_source
from bocage.testing.fakes import Place, write_raster
from bocage.training.outlines import with_outlines

RESULTS, DRAWS, BANDS = Results("parcels"), 3, ("blue", "green", "red", "nir")
CLASSES, LEAST = tuple(c.name for c in LEGEND.classes[:7]), 12
"""Classes of the parcels, and the smallest parcel in pixels."""
NOISE, RATE, BATCH = 0.03, 1e-3, 4
"""Relative noise of the reflectance, largest learning rate, and windows in a batch."""
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Setup:
    """Imagery of a comparison, and the training of the network."""

    pixel: float
    days: tuple[int, ...]
    finer: int
    """Points per side of a pixel whose reflectance is averaged."""
    sides: tuple[int, int, int]
    """Sides of the areas of training, choice and test, in pixels."""
    window: int
    steps: int
    minima: tuple[int, ...]
    """Minima of ``bocage segment`` to choose from."""


SEASON, COARSE = (40, 75, 110, 150, 200, 260), (5, 10, 20, 40, 80)
SETUPS: Mapping[str, Setup] = {
    "large": Setup(10, SEASON, 4, (640, 192, 256), 64, 1500, COARSE),
    "small": Setup(10, SEASON, 4, (256, 192, 256), 64, 1500, COARSE),
}
WORDS = tuple(SETUPS)
"""Words of the command line."""


@dataclass(frozen=True)
class Land:
    """An area: imagery (T, C, y, x), class codes and numbers of parcels (y, x), 0 for no parcel."""

    pixel: float
    values: NDArray[np.float32]
    code: NDArray[np.uint8]
    parcel: Ids
    outlines: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """What a network gives for the area."""

    @property
    def grid(self) -> Grid:
        """Grid of the pixels."""
        return Grid.of("EPSG:32740", Affine(self.pixel, 0, 300_000, 0, -self.pixel, 7_650_000), self.code.shape)

    def write(self, path: Path, values: NDArray[Any], dtype: Any, nodata: int) -> Path:
        """Write bands (B, y, x) of the area."""
        write_raster(path, np.rint(values).astype(dtype), Place(self.pixel, (300_000, 7_650_000)), nodata=nodata)
        return path

    @cached_property
    def depth(self) -> NDArray[np.float32]:
        """Depth of each pixel in its parcel (y, x)."""
        y, x = (a.ravel().astype(np.int32) for a in np.indices(self.code.shape))
        label = np.where(self.parcel > 0, 0, len(CLASSES)).ravel().astype(np.int16)
        pixels = Pixels(y, x, label, self.parcel.ravel().astype(np.int32))
        return depths(pixels, LEGEND, CLASSES).reshape(self.code.shape)


def area(setup: Setup, draw: int, part: int) -> Land:
    """Return an area of a landscape."""
    n, step, world = setup.sides[part] * setup.finer, setup.pixel / setup.finer, World(seed=draw)
    x = 338_000 + 40_000 * part + step * (0.5 + np.arange(n)[None, :]) + np.zeros((n, 1))
    y = 7_668_000 - step * (0.5 + np.arange(n)[:, None]) + np.zeros((1, n))
    ground, f = ground_at(world, x, y), setup.finer
    fine = np.stack([reflectance(world, ground, day, BANDS, True) for day in setup.days])
    values = fine.reshape(*fine.shape[:2], n // f, f, n // f, f).mean((3, 5))
    values *= np.random.default_rng((draw, part)).normal(1, NOISE, values.shape)
    at = slice(f // 2, None, f)
    code = np.asarray(ground.code[at, at])
    return Land(setup.pixel, values.astype(np.float32), code, parcels_of(code, np.asarray(ground.parcel[at, at])))


def parcels_of(code: NDArray[np.uint8], fields: NDArray[np.uint64]) -> Ids:
    """Return the number of the parcel of each pixel, from 1; 0 for no parcel."""
    number = np.unique(fields, return_inverse=True)[1].reshape(code.shape) + 1
    number = np.where(code <= len(CLASSES), number, 0)
    found = np.zeros(code.shape, np.int64)
    for k, box in enumerate(ndimage.find_objects(number), start=1):
        if box is not None:
            labels, n = ndimage.label(number[box] == k)
            large = np.flatnonzero(np.bincount(labels.ravel(), minlength=n + 1)[1:] >= LEAST) + 1
            for one in large:
                found[box][labels == one] = found.max() + 1
    return found


@dataclass(frozen=True)
class Learnt:
    """U-Net, trained on an area."""

    setup: Setup
    land: Land

    @cached_property
    def network(self) -> Delineating:
        """U-Net with the classes and the outputs for parcels."""
        unet = MODELS.get("unet")
        spec = InputSpec("image", BANDS, len(self.setup.days), Ratio())
        made = build(unet, {"image": spec}, len(LEGEND.classes), unet.Config(width=16, depth=3), parcels=True)
        assert isinstance(made, Delineating)
        return made

    def batch(self, values: NDArray[np.float32]) -> dict[str, SourceTensor]:
        """Return scaled imagery (B, T, C, y, x) as a batch."""
        offset, scale = (f(self.land.values, axis=(0, 2, 3), keepdims=True) for f in (np.mean, np.std))
        x = torch.from_numpy(((values - offset) / scale).astype(np.float32))
        b, t, _, *shape = x.shape
        return {
            "image": SourceTensor(x, torch.ones(b, t, *shape, dtype=torch.bool), torch.zeros(b, t, dtype=torch.int64))
        }

    def train(self, seed: int) -> float:
        """Train; return the processor time in seconds."""
        torch.manual_seed(seed)
        network, rng, busy = self.network, np.random.default_rng(seed), time.process_time()
        optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, self.setup.steps)
        for _ in range(self.setup.steps):
            values, code, depth = (np.stack(some) for some in zip(*self._windows(rng), strict=True))
            at = Positions(*map(torch.from_numpy, np.nonzero(code)))
            labels = torch.from_numpy(code.astype(np.int64).ravel() - 1)
            criterion = with_outlines(
                functional.cross_entropy, len(LEGEND.classes), labels, torch.from_numpy(depth.ravel())
            )
            loss = network.loss_at(self.batch(values), at, torch.arange(len(labels)), criterion)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        network.eval()
        return time.process_time() - busy

    def _windows(self, rng: np.random.Generator) -> Iterable[list[NDArray[Any]]]:
        """Yield windows of the lattice, in one of the eight symmetries: imagery, codes and depths."""
        w, land = self.setup.window, self.land
        for _ in range(BATCH):
            y, x = rng.integers(0, land.code.shape[0] // w, 2) * w
            turn, flip = int(rng.integers(4)), int(rng.choice([-1, 1]))
            part = (..., slice(y, y + w), slice(x, x + w))
            yield [np.rot90(a[part], turn, (-2, -1))[..., ::flip].copy() for a in (land.values, land.code, land.depth)]

    def outlines(self, land: Land) -> NDArray[np.float32]:
        """Return extent, boundary and distance (3, y, x) of an area, 0 to 1."""
        with torch.inference_mode():
            logits = self.network.network.dense(self.batch(land.values[None]))
        return np.asarray(torch.sigmoid(logits[0, len(LEGEND.classes) :]).numpy())


def assembled(objects: Objects, shape: tuple[int, int]) -> Ids:
    """Return the objects as one raster."""
    ids = np.zeros(shape, np.int64)
    for window, numbers in objects.tiles:
        ids[window.slices] = numbers
    return ids


def learnt(folder: Path, land: Land, extent: float, core: float) -> Ids:
    """Return the parcels of learnt outlines."""
    path = land.write(folder / "parcels.tif", 100 * land.outlines["learnt"], np.uint8, 255)
    settings = Segmenting(parcels=True, extent=extent, core=core)
    with temporary(folder / "scratch") as scratched, suppress(SceneError):  # no seed
        return assembled(delineate(Outlines(path, land.grid, settings), scratched, QUIET), land.code.shape)
    return np.zeros(land.code.shape, np.int64)


def segmented(folder: Path, land: Land, clusters: int, minimum: int) -> Ids:
    """Return the objects of ``bocage segment``."""
    bands = np.quantile(land.values, (0.25, 0.5, 0.75), axis=0).reshape(-1, *land.code.shape)
    bands = bands if len(land.values) > 1 else land.values[0]
    path = land.write(folder / "image.tif", np.clip(bands * 10_000, 1, 65_535), np.uint16, 0)
    image = SENSORS.get("image")
    source = open_source("vhr", image, image.Settings(path=path, bands=[f"b{k}" for k in range(len(bands))]))
    stack = Stack.of(make_scene(source.grid, [source], {}).cubes, (), ())
    found = assembled(
        segment(stack, Segmenting(clusters=clusters, minimum=minimum), folder / "scratch", "", QUIET), land.code.shape
    )
    shutil.rmtree(folder / "scratch")
    return found


def gradient(folder: Path, land: Land, depth: float, sigma: float) -> Ids:
    """Return the basins of the gradient over all bands and dates, without minima shallower than `depth` standard deviations."""
    from skimage.filters import sobel
    from skimage.morphology import h_minima
    from skimage.segmentation import watershed

    values = land.values / land.values.std((2, 3), keepdims=True)
    values = ndimage.gaussian_filter(values, (0, 0, 1, 1))
    height = ndimage.gaussian_filter(np.sqrt(sum(sobel(band) ** 2 for date in values for band in date)), sigma)
    return np.asarray(watershed(height, ndimage.label(h_minima(height, depth * height.std()))[0]), np.int64)


Method = Callable[[Path, Land, Any, Any], Ids]


def score(ids: Ids, land: Land, everything: bool) -> dict[str, float]:
    """Return the measures of objects; `everything`: all objects count, not only those mostly in parcels."""
    _, ids = np.unique(np.append(ids.ravel(), 0), return_inverse=True)
    parcel, ids = land.parcel.ravel(), ids[:-1]
    sizes, areas = np.bincount(parcel), np.bincount(ids)
    pair, shared = np.unique(parcel * len(areas) + ids, return_counts=True)
    own, other = np.divmod(pair, len(areas))
    there = (own > 0) & (other > 0)
    own, other, shared = own[there], other[there], shared[there]
    iou = shared / (sizes[own] + areas[other] - shared)
    counted = areas > 0
    if not everything:
        counted &= np.bincount(other, shared, len(areas)) > 0.5 * areas
    hits = int((iou > 0.5).sum())
    recall, precision = hits / (len(sizes) - 1), hits / max(1, int(counted[1:].sum()))
    best, most, over, under = (np.zeros(len(sizes)) for _ in range(4))
    np.maximum.at(best, own, iou)
    order = np.argsort(shared, kind="stable")  # the largest object of a parcel is written last
    most[own[order]] = shared[order]
    over = 1 - most / np.maximum(sizes, 1)
    under[own[order]] = 1 - shared[order] / areas[other[order]]
    mean = {"over": over[1:], "under": under[1:]}
    return {
        "f": 2 * recall * precision / max(1e-9, recall + precision), "recall": recall, "precision": precision,
        "iou": float(best[1:].mean()), **{k: float(np.average(v, weights=sizes[1:])) for k, v in mean.items()},
    }  # fmt: skip


def measured(name: str, draw: int) -> dict[str, Any]:
    """Return the measures of all methods in a draw."""
    setup = SETUPS[name]
    training, choice, test = (area(setup, draw, part) for part in range(3))
    network = Learnt(setup, training)
    found: dict[str, Any] = {"parcels": [int(land.parcel.max()) for land in (training, choice, test)]}
    found["training"] = network.train(draw)
    for land in (choice, test):
        land.outlines["learnt"] = network.outlines(land)
    methods: dict[str, tuple[Method, Iterable[Any]]] = {
        "segmentation": (segmented, product((10, 20, 40, 60, 100, 200), setup.minima)),
        "gradient": (gradient, product((0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8), (0, 1))),
        "learnt": (learnt, product((0.3, 0.5, 0.7), (0.1, 0.2, 0.3, 0.4, 0.5, 0.6))),
    }
    with scratch() as folder:
        for method, (work, options) in methods.items():
            every = method == "learnt"
            scores = [(score(work(folder, choice, *o), choice, every)["f"], o) for o in options]
            setting = max(scores)[1]
            found[method] = {"setting": setting, **score(work(folder, test, *setting), test, every)}
        found["learnt, default"] = score(learnt(folder, test, Segmenting.extent, Segmenting.core), test, True)
    return found


SHOWN = ("f", "recall", "precision", "iou", "over", "under")


def run(wanted: Sequence[str] = WORDS) -> str:
    """Measure the draws that are missing, and return the tables."""
    for name in wanted:
        for draw in range(DRAWS):
            RESULTS.measure((name, draw), partial(measured, name, draw))
    content, rows = RESULTS.content(), []
    for name in (name for name in WORDS if name in content):
        draws = content[name]
        for method in ("segmentation", "gradient", "learnt", "learnt, default"):
            rows.append((name, method, len(draws), *(spread([one[method][key] for one in draws]) for key in SHOWN)))
    seconds = ", ".join(
        f"{name} {np.mean([one['training'] for one in content[name]]):.0f} s" for name in WORDS if name in content
    )
    return f"\n{table(('', 'objects', 'draws', *SHOWN), rows)}\n\nProcessor time of a training: {seconds}"


if __name__ == "__main__":
    command_line(__name__)
