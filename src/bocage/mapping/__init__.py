"""Trained + Scene → map on disk: windows with their halo, streamed through the network into files."""

from collections.abc import Iterator
from collections.abc import Mapping as Mapping_
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import TrainedError
from bocage.grid import Grid, Ratio, Window
from bocage.legend import Legend
from bocage.mapping.layers import LAYERS
from bocage.mapping.predict import Prediction, classify_at, predict
from bocage.mapping.speed import pixels_per_second
from bocage.mapping.writers import WRITERS, OpenMap
from bocage.progress import QUIET, Progress
from bocage.scene import Cube, Preparation, Scene
from bocage.sources import image, open_source
from bocage.training import Trained, device_of


@dataclass(frozen=True)
class Mapping:
    """What the recipe may say of the map."""

    draw: int = 0
    """The draw whose network makes the map, from 0."""
    tile: int = 256
    """Map pixels a side of the windows that go through the network; memory grows with its square."""
    layers: tuple[str, ...] = ("classes", "confidence")
    """What to write: classes, confidence, novelty (how far from what the model was trained on; Meyer & Pebesma 2021)."""
    formats: tuple[str, ...] = ("cog",)
    """Output formats, by name or ``"its.module:name"``."""

    def __post_init__(self) -> None:
        if self.draw < 0 or self.tile < 16:
            raise ValueError("'draw' is at least 0 and 'tile' at least 16 pixels")
        unknown = [name for name in self.layers if name not in LAYERS]
        if unknown:
            raise ValueError(f"the map has no layer '{unknown[0]}'; there are {', '.join(LAYERS)}")


@dataclass(frozen=True)
class LandCoverMap:
    """A map on disk."""

    files: dict[str, Path]
    """Layer to the file of the first format."""
    grid: Grid
    legend: Legend


def make_map(
    trained: Trained, scene: Scene, settings: Mapping, folder: Path, device: str = "auto", progress: Progress = QUIET
) -> LandCoverMap:
    """Map the whole scene into `folder`; each of its files appears when it is complete.

    Raises
    ------
    TrainedError
        The scene does not offer what the network was trained on.
    MappingError
        A file cannot be written.
    """
    trained.check_scene(scene)
    if "novelty" in settings.layers and trained.domain is None:
        raise TrainedError(
            'The model folder was written before models knew their domain: train again, or leave "novelty" out of [map] layers.'
        )
    folder.mkdir(parents=True, exist_ok=True)
    outputs = _open(scene.grid, trained.legend, settings, folder)
    try:
        _stream(trained, scene, settings, outputs, device, progress)
        for _, output in outputs:
            output.close()
    except BaseException:
        for _, output in outputs:
            output.discard()
        raise
    return open_map(trained.legend, scene.grid, settings, folder)


def open_map(legend: Legend, grid: Grid, settings: Mapping, folder: Path) -> LandCoverMap:
    """Return the map that :func:`make_map` wrote to `folder`."""
    suffix = WRITERS.get(settings.formats[0]).SUFFIX
    return LandCoverMap({layer: folder / f"{layer}{suffix}" for layer in settings.layers}, grid, legend)


def _open(grid: Grid, legend: Legend, settings: Mapping, folder: Path) -> list[tuple[str, OpenMap]]:
    outputs: list[tuple[str, OpenMap]] = []
    for name in settings.formats:
        writer = WRITERS.get(name)
        for layer in settings.layers:
            path = folder / f"{layer}{writer.SUFFIX}"
            outputs.append((layer, writer.open(path, grid, LAYERS[layer].bands(legend), legend)))
    return outputs


def _stream(
    trained: Trained,
    scene: Scene,
    settings: Mapping,
    outputs: list[tuple[str, OpenMap]],
    device: str,
    progress: Progress,
) -> None:
    place = device_of(device)
    trained.model.to(place).eval()
    tiles = list(scene.grid.tiles(settings.tile))
    for done, window in enumerate(tiles, start=1):
        prediction = predict(trained, scene, window, place, "novelty" in settings.layers)
        layers = {name: LAYERS[name].compute(prediction, trained.legend) for name in settings.layers}
        for layer, output in outputs:
            output.put(window, layers[layer])
        progress.step("mapping", done, len(tiles))


def codes_beside(
    truth: Path, classes: Path, grid: Grid, tile: int = 1024
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield (truth, map) codes of the whole grid, window by window; the truth's most frequent code in each map pixel."""
    cubes = [
        Cube(open_source(name, image, image.Settings(path)), grid, Ratio(), Preparation(resampling="mode"))
        for name, path in (("truth", truth), ("map", classes))
    ]
    for window in grid.tiles(tile):
        truth_codes, map_codes = (np.rint(cube.read(window).values[0, 0]).astype(np.int64) for cube in cubes)
        yield truth_codes, map_codes


def count_codes(classes: Path, legend: Legend, grid: Grid, tile: int = 1024) -> NDArray[np.int64]:
    """Count the map's pixels of every class (K,), window by window."""
    return np.asarray(_histogram(classes, grid, tile)[list(legend.codes)])


def _histogram(classes: Path, grid: Grid, tile: int) -> NDArray[np.int64]:
    """Pixels of every code there can be (65536,)."""
    counts = np.zeros(65536, np.int64)
    for window in grid.tiles(tile):
        counts += np.bincount(read_codes(classes, grid, window).ravel(), minlength=65536)
    return counts


def locate(classes: Path, grid: Grid, wanted: Mapping_[int, int], seed: int, tile: int = 1024) -> NDArray[np.int64]:
    """Draw so many random pixels of every code of a map, without replacement: (n, 3) row, column and code.

    The map is read window by window; which pixels of a class are drawn is known beforehand by their rank.
    """
    generator, counts = np.random.default_rng(seed), _histogram(classes, grid, tile)
    ranks = {code: np.sort(generator.choice(int(counts[code]), n, replace=False)) for code, n in wanted.items() if n}
    before, found = dict.fromkeys(ranks, 0), [np.zeros((0, 3), np.int64)]
    for window in grid.tiles(tile):
        codes = read_codes(classes, grid, window)
        for code, chosen in ranks.items():
            rows, columns = np.nonzero(codes == code)
            inside = chosen[(chosen >= before[code]) & (chosen < before[code] + len(rows))] - before[code]
            place = (rows[inside] + window.y, columns[inside] + window.x, np.full(len(inside), code))
            found.append(np.stack(place, 1).astype(np.int64))
            before[code] += len(rows)
    return np.concatenate(found)


def read_codes(classes: Path, grid: Grid, window: Window) -> NDArray[np.int64]:
    """Read a window of a map's codes; 0 where there is no data or no map."""
    cube = Cube(open_source("map", image, image.Settings(classes)), grid, Ratio(), Preparation(resampling="mode"))
    return np.asarray(np.rint(cube.read(window).values[0, 0]), np.int64)


__all__ = [
    "WRITERS",
    "LandCoverMap",
    "Mapping",
    "Prediction",
    "classify_at",
    "codes_beside",
    "count_codes",
    "locate",
    "make_map",
    "open_map",
    "pixels_per_second",
    "predict",
    "read_codes",
]
